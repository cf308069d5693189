//! Every key with its default and its range, section by section; then what must fit together.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::alerts::alerts;
use super::keys::keys;
use super::parse_workers::workers;
use super::passkeys;
use super::policies::policies;
use super::reader::Reader;
use super::*;
use crate::tlog::is_log_name;

pub(super) fn config(read: &mut Reader) -> Config {
    let paths = paths(read);
    Config {
        server: server(read),
        tls: tls(read),
        workers: workers(read),
        limits: limits(read),
        admission: admission(read),
        rate: rate(read),
        sessions: sessions(read),
        people: people(read),
        policy: policies(read, &paths.policy_dir),
        cases: Cases { retention_years: read.number("cases.retention_years", 7, 1..=100) },
        passwords: passwords(read),
        audit: audit(read),
        alerts: alerts(read),
        keys: keys(read),
        store: store(read),
        cache: cache(read),
        speech: speech(read),
        triage: triage(read),
        telemetry: telemetry(read),
        paths,
    }
}

fn server(read: &mut Reader) -> Server {
    let environment = [("production", Environment::Production), ("development", Environment::Development)];
    let forwarded_headers = [
        ("x-forwarded-for", ForwardedHeader::XForwardedFor),
        ("forwarded", ForwardedHeader::Forwarded),
        ("none", ForwardedHeader::None),
    ];
    let server = Server {
        bind: read.address("server.bind", SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 7000)),
        environment: read.choice("server.environment", Environment::Production, &environment),
        allowed_origins: read.list("server.allowed_origins"),
        trusted_proxies: read.list("server.trusted_proxies"),
        forwarded_header: read.choice("server.forwarded_header", ForwardedHeader::XForwardedFor, &forwarded_headers),
        proxy_protocol: read.flag("server.proxy_protocol", false),
    };
    for origin in &server.allowed_origins {
        let host = origin.strip_prefix("https://").unwrap_or_default();
        if host.is_empty() || host.contains(['/', '*', ' ', '@']) {
            let remedy = format!(
                "{origin:?} must be one exact origin such as \"https://console.example.org\"; \"*\" and \"null\" would let any site act for a signed-in user"
            );
            read.mistake("server.allowed_origins", remedy);
        }
    }
    if server.proxy_protocol && server.trusted_proxies.is_empty() {
        let remedy = "false, or server.trusted_proxies with the networks of the proxies that send the header";
        read.mistake("server.proxy_protocol", remedy);
    }
    for proxy in &server.trusted_proxies {
        if !is_network(proxy) {
            read.mistake(
                "server.trusted_proxies",
                format!("{proxy:?} must be a network such as \"10.0.0.0/8\" or \"::1/128\""),
            );
        }
    }
    server
}

fn is_network(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    match (address.parse::<IpAddr>(), bits.parse::<u8>()) {
        (Ok(IpAddr::V4(_)), Ok(bits)) => bits <= 32,
        (Ok(IpAddr::V6(_)), Ok(bits)) => bits <= 128,
        _ => false,
    }
}

fn paths(read: &mut Reader) -> Paths {
    let absolute = |path: &str| std::path::absolute(path).unwrap_or_else(|_| path.into());
    let state_dir = read.path("paths.state_dir").unwrap_or_else(|| absolute("state"));
    let paths = Paths {
        run_dir: read.path("paths.run_dir").unwrap_or_else(|| state_dir.join("run")),
        models_dir: read.path("paths.models_dir").unwrap_or_else(|| absolute("models")),
        knowledge_dir: read.path("paths.knowledge_dir").unwrap_or_else(|| absolute("config/knowledge")),
        policy_dir: read.path("paths.policy_dir").unwrap_or_else(|| absolute("config/policy")),
        admin_password_file: read.path("paths.admin_password_file"),
        state_dir,
    };
    let socket = paths.run_dir.join("scribe.sock");
    if socket.as_os_str().len() >= SOCKET_PATH_BYTES_MAX {
        let remedy = format!(
            "{} is too long for a Unix socket ({SOCKET_PATH_BYTES_MAX} bytes); name a shorter folder",
            socket.display()
        );
        read.mistake("paths.run_dir", remedy);
    }
    paths
}

fn tls(read: &mut Reader) -> Tls {
    let tls = Tls {
        certificate: read.path("tls.certificate"),
        key: read.path("tls.key"),
        handshake_deadline_ms: read.number("tls.handshake_deadline_ms", 10_000, 100..=120_000),
        ticket_lifetime_seconds: read.number("tls.ticket_lifetime_seconds", 21_600, 2..=86_400),
    };
    match (&tls.certificate, &tls.key) {
        (Some(_), None) => read.mistake("tls.key", "is missing: a certificate needs its key"),
        (None, Some(_)) => read.mistake("tls.certificate", "is missing: a key needs its certificate"),
        _ => {}
    }
    if let Some(file) = &tls.certificate {
        readable(read, "tls.certificate", file, 0o777);
    }
    if let Some(file) = &tls.key {
        readable(read, "tls.key", file, 0o750);
    }
    tls
}

/// The file is there, can be read, and has no permission bits beyond `mode_max`.
fn readable(read: &mut Reader, key: &str, file: &Path, mode_max: u32) {
    match std::fs::File::open(file).and_then(|file| file.metadata()) {
        Err(error) => read.mistake(key, format!("could not be read: {error}")),
        Ok(meta) if !meta.is_file() => read.mistake(key, "must be a file"),
        Ok(meta) if meta.permissions().mode() & 0o777 & !mode_max != 0 => {
            read.mistake(key, format!("is open to strangers: chmod 600 {}", file.display()));
        }
        Ok(_) => {}
    }
}

fn limits(read: &mut Reader) -> Limits {
    Limits {
        connections_max: read.number("limits.connections_max", 20_000, 1..=1_000_000),
        header_bytes_max: read.number("limits.header_bytes_max", 16_384, 8_192..=1_048_576),
        header_count_max: read.number("limits.header_count_max", 100, 10..=1_000),
        json_bytes_max: read.number("limits.json_bytes_max", 1 << 20, 1_024..=64 << 20),
        json_depth_max: read.number("limits.json_depth_max", 32, 4..=120),
        audio_bytes_max: read.number("limits.audio_bytes_max", 50 << 20, 1_024..=1 << 30),
        evidence_bytes_max: read.number("limits.evidence_bytes_max", 4 << 30, 1_024..=1 << 39),
        header_read_deadline_ms: read.number("limits.header_read_deadline_ms", 10_000, 100..=300_000),
        body_idle_deadline_ms: read.number("limits.body_idle_deadline_ms", 10_000, 100..=300_000),
        body_deadline_ms: read.number("limits.body_deadline_ms", 300_000, 1_000..=3_600_000),
        evidence_deadline_ms: read.number("limits.evidence_deadline_ms", 3_600_000, 1_000..=86_400_000),
        request_deadline_ms: read.number("limits.request_deadline_ms", 30_000, 100..=600_000),
        keep_alive_ms: read.number("limits.keep_alive_ms", 65_000, 1_000..=3_600_000),
        requests_per_connection_max: read.number(
            "limits.requests_per_connection_max",
            100_000,
            1..=u64::from(u32::MAX),
        ),
        connection_age_ms_max: read.number("limits.connection_age_ms_max", 3_600_000, 1_000..=86_400_000),
        requests_in_flight_max: read.number("limits.requests_in_flight_max", 1_024, 1..=1_000_000),
        http2_streams_max: read.number("limits.http2_streams_max", 128, 1..=10_000),
        websocket_message_bytes_max: read.number("limits.websocket_message_bytes_max", 65_536, 1_024..=16 << 20),
        websockets_max: read.number("limits.websockets_max", 10_000, 1..=1_000_000),
        websocket_queue_max: read.number("limits.websocket_queue_max", 256, 1..=100_000),
    }
}

fn admission(read: &mut Reader) -> Admission {
    let queue = |waiting_max, wait_ms_max| Queue { waiting_max, wait_ms_max };
    Admission {
        concurrency_min: read.number("admission.concurrency_min", 32, 1..=100_000),
        ageing_ms: read.number("admission.ageing_ms", 1_000, 10..=60_000),
        emergency: read.queue("admission.emergency", queue(512, 10_000)),
        live_call: read.queue("admission.live_call", queue(512, 5_000)),
        interactive: read.queue("admission.interactive", queue(512, 3_000)),
        batch: read.queue("admission.batch", queue(256, 5_000)),
    }
}

fn rate(read: &mut Reader) -> Rate {
    let budget = |requests, window_seconds| Budget { requests, window_seconds };
    Rate {
        anonymous: read.budget("rate.anonymous", budget(100, 900)),
        authenticated: read.budget("rate.authenticated", budget(3_000, 300)),
        login: read.budget("rate.login", budget(20, 900)),
        voice: read.budget("rate.voice", budget(120, 3_600)),
        emergency: read.budget("rate.emergency", budget(60, 900)),
    }
}

fn sessions(read: &mut Reader) -> Sessions {
    let algorithms = [TokenAlgorithm::Hs256, TokenAlgorithm::EdDsa].map(|algorithm| (algorithm.name(), algorithm));
    let sessions = Sessions {
        absolute_seconds: read.number("sessions.absolute_seconds", 86_400, 60..=86_400),
        idle_seconds: read.number("sessions.idle_seconds", 3_600, 60..=86_400),
        automation_seconds_max: read.number("sessions.automation_seconds_max", 2_592_000, 1..=31_536_000),
        token_algorithm: read.choice("sessions.token_algorithm", TokenAlgorithm::Hs256, &algorithms),
    };
    if sessions.idle_seconds > sessions.absolute_seconds {
        read.mistake("sessions.idle_seconds", "must not be more than sessions.absolute_seconds");
    }
    sessions
}

fn people(read: &mut Reader) -> People {
    let mfa = [("required", Mfa::Required), ("offered", Mfa::Offered)];
    let (passkey_domain, passkey_origins) = passkeys::places(read);
    People {
        mfa: read.choice("people.mfa", Mfa::Required, &mfa),
        step_up_seconds: read.number("people.step_up_seconds", 600, 1..=3_600),
        break_glass_seconds: read.number("people.break_glass_seconds", 3_600, 120..=86_400),
        passkey_domain,
        passkey_origins,
    }
}

fn passwords(read: &mut Reader) -> Pool {
    let pool = Pool {
        threads_min: read.number("passwords.threads_min", 1, 1..=64),
        threads_max: read.number("passwords.threads_max", 4, 1..=64),
        queue_max: read.number("passwords.queue_max", 64, 1..=10_000),
        grow_after_ms: read.number("passwords.grow_after_ms", 50, 1..=10_000),
        shrink_after_ms: read.number("passwords.shrink_after_ms", 10_000, 10..=3_600_000),
    };
    if pool.threads_max < pool.threads_min {
        read.mistake("passwords.threads_max", "must not be less than passwords.threads_min");
    }
    pool
}

fn origin(read: &mut Reader) -> String {
    let origin = read.text("audit.origin", "localhost/hotline");
    if !is_log_name(&origin) {
        read.mistake("audit.origin", "a name without spaces and plus signs, such as \"hotline.example.org/audit\"");
    }
    origin
}

fn audit(read: &mut Reader) -> Audit {
    let acknowledge = [("all", Acknowledge::All), ("writes", Acknowledge::Writes)];
    Audit {
        acknowledge: read.choice("audit.acknowledge", Acknowledge::All, &acknowledge),
        wait_ms_max: read.number("audit.wait_ms_max", 5_000, 10..=60_000),
        queue_records_max: read.number("audit.queue_records_max", 65_536, 16..=1_000_000),
        batch_records_max: read.number("audit.batch_records_max", 1_024, 1..=65_536),
        segment_bytes_max: read.number("audit.segment_bytes_max", 64 << 20, 4_096..=4 << 30),
        origin: origin(read),
        publish_interval_ms: read.number("audit.publish_interval_ms", 1_000, 10..=3_600_000),
        // Seven is the floor that the house has promised: no setting goes below it.
        retention_years: read.number("audit.retention_years", 7, 7..=100),
    }
}

fn store(read: &mut Reader) -> Store {
    Store {
        batch_writes_max: read.number("store.batch_writes_max", 256, 1..=10_000),
        queue_writes_max: read.number("store.queue_writes_max", 4_096, 1..=100_000),
        readers: read.number("store.readers", 2, 1..=64),
    }
}

fn cache(read: &mut Reader) -> Cache {
    Cache {
        enabled: read.flag("cache.enabled", true),
        bytes_max: read.number("cache.bytes_max", 64 << 20, 1 << 20..=64 << 30),
        entry_bytes_max: read.number("cache.entry_bytes_max", 256 << 10, 1_024..=16 << 20),
        entry_seconds_max: read.number("cache.entry_seconds_max", 300, 1..=86_400),
    }
}

fn speech(read: &mut Reader) -> Speech {
    Speech {
        model: read.text("speech.model", "ggml-base.bin").into(),
        threads: read.number("speech.threads", 1, 1..=64),
        audio_seconds_max: read.number("speech.audio_seconds_max", 7_200, 1..=86_400),
        synchronous_wait_ms: read.number("speech.synchronous_wait_ms", 20_000, 1..=120_000),
        attempts_max: read.number("speech.attempts_max", 5, 1..=100),
        lease_seconds: read.number("speech.lease_seconds", 30, 2..=3_600),
        queue_jobs_max: read.number("speech.queue_jobs_max", 10_000, 1..=1_000_000),
    }
}

fn triage(read: &mut Reader) -> Triage {
    let triage = Triage {
        jurisdiction: read.text("triage.jurisdiction", "US"),
        time_zone: read.text("triage.time_zone", "America/New_York"),
        embedding: read.flag("triage.embedding", true),
    };
    let part = |part: &str| {
        (1..=3).contains(&part.len()) && part.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    };
    if !triage.jurisdiction.split('-').all(part) {
        read.mistake("triage.jurisdiction", "must be an ISO 3166 code such as \"US\" or \"US-CA\"");
    }
    if jiff::tz::TimeZone::get(&triage.time_zone).is_err() {
        read.mistake("triage.time_zone", "must be an IANA time zone such as \"America/New_York\"");
    }
    triage
}

fn telemetry(read: &mut Reader) -> Telemetry {
    let format = [("json", LogFormat::Json), ("text", LogFormat::Text)];
    let telemetry = Telemetry {
        metrics_bind: read.address("telemetry.metrics_bind", SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464)),
        log_format: read.choice("telemetry.log_format", LogFormat::Json, &format),
        log_level: read.text("telemetry.log_level", "info"),
    };
    if !telemetry.metrics_bind.ip().is_loopback() {
        read.mistake(
            "telemetry.metrics_bind",
            "must be a loopback address such as \"127.0.0.1:9464\": metrics are not for strangers",
        );
    }
    if tracing_subscriber::EnvFilter::try_new(&telemetry.log_level).is_err() {
        read.mistake(
            "telemetry.log_level",
            "must be error, warn, info, debug, trace or a filter such as \"info,hotline=debug\"",
        );
    }
    telemetry
}

/// `sun_path` of a Unix address, its closing NUL included.
const SOCKET_PATH_BYTES_MAX: usize = 108;
