//! TLS 1.3 and nothing older; both HTTP versions; the same headers on every answer.
use std::collections::HashSet;
use std::process::Command;

use crate::support::{Hotline, Request};

fn openssl(hotline: &Hotline, args: &[&str]) -> (bool, String) {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &hotline.address.to_string(), "-servername", "localhost"])
        .args(args)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

fn curl(hotline: &Hotline, args: &[&str]) -> String {
    let certificate = hotline.state_dir().join("tls/dev-cert.pem");
    let output = Command::new("curl").arg("--silent").arg("--cacert").arg(certificate).args(args).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn tls_1_2_is_refused_and_three_suites_are_offered() {
    let hotline = Hotline::start("");
    assert!(!openssl(&hotline, &["-tls1_2"]).0);
    for suite in ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"] {
        let (ok, text) = openssl(&hotline, &["-tls1_3", "-ciphersuites", suite]);
        assert!(ok && text.contains(suite), "{suite}: {text}");
    }
    let (_, text) = openssl(&hotline, &["-tls1_3"]);
    assert!(text.contains("TLS_AES_256_GCM_SHA384"), "the strongest is preferred: {text}");
}

#[test]
fn curl_speaks_both_versions() {
    let hotline = Hotline::start("");
    let url = format!("https://localhost:{}/health", hotline.address.port());
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let shown = curl(&hotline, &[flag, "--write-out", " %{http_version} %{http_code}", &url]);
        assert!(shown.ends_with(&format!(" {version} 200")), "{shown}");
        let health: serde_json::Value =
            serde_json::from_str(shown.rsplit_once('}').unwrap().0.to_owned().as_str().trim_end())
                .unwrap_or_else(|_| serde_json::from_str(&format!("{}}}", shown.rsplit_once('}').unwrap().0)).unwrap());
        assert_eq!(health["status"], "healthy");
    }
}

#[test]
fn refusals_reach_http2_clients_whole() {
    let hotline = Hotline::start("");
    let url = format!("https://localhost:{}/api/v1/cases", hotline.address.port());
    let body = hotline.folder().join("body");
    std::fs::write(&body, vec![b'x'; 900_000]).unwrap();
    let data = format!("@{}", body.display());
    for _ in 0..10 {
        let shown = curl(&hotline, &["--http2", "--write-out", "%{http_code}", "--data-binary", &data, &url]);
        assert!(shown.ends_with("401"), "{shown}");
    }
    let shown =
        curl(&hotline, &["--http2", "--head", "--write-out", "%{http_code} %{exitcode}", &format!("{url}/x/y")]);
    assert!(shown.ends_with(" 0"), "{shown}");
}

#[test]
fn every_answer_carries_the_security_headers() {
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    let anonymous = hotline.client();
    let answers = [
        anonymous.get("/health").expect(200),
        anonymous.get("/health/live").expect(200),
        anonymous.get("/nothing").expect(404),
        anonymous.get("/api/v1/cases").expect(401),
        anonymous.send(Request::new("DELETE", "/health")).expect(405),
        lawyer.get("/api/v1/cases").expect(200),
        lawyer.get("/api/v1/cases?colour=red").expect(400),
        lawyer.get("/api/v1/openapi.json").expect(200),
    ];
    let mut ids = HashSet::new();
    for answer in &answers {
        for (name, value) in HEADERS {
            assert_eq!(answer.header(name), Some(*value), "{name} on {}", answer.status);
        }
        assert!(answer.header("Content-Security-Policy").is_some_and(|csp| !csp.contains("unsafe")));
        assert!(answer.header("Permissions-Policy").is_some());
        assert!(ids.insert(answer.header("X-Request-Id").unwrap().to_owned()), "request ids are unique");
        for leak in ["Server", "X-Powered-By", "X-Process-Id"] {
            assert_eq!(answer.header(leak), None);
        }
    }
}

#[test]
fn the_api_description_lists_every_route() {
    let hotline = Hotline::start("");
    let document = hotline.client().get("/api/v1/openapi.json").expect(200).json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = document["paths"].as_object().unwrap();
    for path in ["/health", "/api/v1/auth/login", "/api/v1/voice/process", "/api/v1/cases", "/api/v1/ai/analyze", "/ws"]
    {
        assert!(paths.contains_key(path), "{path} in {:?}", paths.keys());
    }
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let says_when = operation["responses"]["503"]["headers"]["Retry-After"].is_object();
            assert_eq!(says_when, !path.starts_with("/health"), "{method} {path}");
        }
    }
}

const HEADERS: &[(&str, &str)] = &[
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("X-XSS-Protection", "0"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Legal-Compliance", "SIMTRON-2024"),
    ("X-Audit-Required", "true"),
];
