//! Where passkeys are good: a browser gives one away on the pages of its domain alone, so both must be names that
//! browsers agree with.
use super::reader::Reader;

/// `people.passkey_domain` and `people.passkey_origins`.
pub(super) fn places(read: &mut Reader) -> (String, Vec<String>) {
    let mut origins = read.list("people.passkey_origins");
    if origins.is_empty() {
        origins.push(DEVELOPMENT.to_owned());
    }
    for origin in &origins {
        if host(origin).is_none() {
            let remedy = format!(
                "{origin:?} must be one exact origin in small letters, by name, such as \"https://hotline.example.org\": browsers know no passkeys for addresses, and none without https"
            );
            read.mistake("people.passkey_origins", remedy);
        }
    }
    let first = origins.first().and_then(|origin| host(origin)).unwrap_or_default().to_owned();
    let domain = read.text("people.passkey_domain", &first);
    if !is_domain(&domain) {
        let remedy = format!("{domain:?} must be a domain of yours, such as \"example.org\", or \"localhost\"");
        read.mistake("people.passkey_domain", remedy);
    }
    let is_below = |host: &str| host == domain || host.ends_with(&format!(".{domain}"));
    if let Some(stray) = origins.iter().find(|origin| host(origin).is_some_and(|host| !is_below(host))) {
        let remedy = format!(
            "{stray:?} is not on {domain:?}: name the domain that all of them share in people.passkey_domain; passkeys made for another are good no more"
        );
        read.mistake("people.passkey_origins", remedy);
    }
    (domain, origins)
}

/// The host of an exact origin, if it is one by name.
fn host(origin: &str) -> Option<&str> {
    let authority = origin.strip_prefix("https://")?;
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    let port_is_one = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|number| number > 0 && port != "443"));
    (port_is_one && is_domain(host)).then_some(host)
}

/// A name with a dot in it, or this machine's.
fn is_domain(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_address = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    name == LOCALHOST || (name.len() <= 253 && name.contains('.') && name.split('.').all(is_label) && !is_address)
}

const LOCALHOST: &str = "localhost";
/// On every port, see `hotline-passkeys`.
const DEVELOPMENT: &str = "https://localhost";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_exact_and_by_name() {
        for (origin, expected) in [
            ("https://hotline.example.org", Some("hotline.example.org")),
            ("https://hotline.example.org:8443", Some("hotline.example.org")),
            ("https://localhost", Some("localhost")),
            ("https://localhost:7000", Some("localhost")),
            ("http://localhost", None),
            ("https://127.0.0.1:7000", None),
            ("https://[::1]", None),
            ("https://example.org/", None),
            ("https://example.org:443", None),
            ("https://example.org:0", None),
            ("https://example.org:x", None),
            ("https://Example.org", None),
            ("https://user@example.org", None),
            ("https://*.example.org", None),
            ("https://org", None),
            ("https://", None),
            ("null", None),
        ] {
            assert_eq!(host(origin), expected, "{origin}");
        }
    }
}
