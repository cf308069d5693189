//! Who is calling: the socket's peer, unless a trusted proxy says for whom it speaks.
//!
//! The header that our proxies write (`X-Forwarded-For`, or RFC 7239's `Forwarded`) is read from the right: every hop
//! that is a trusted proxy of ours is skipped and the first stranger is the caller. Whatever a stranger wrote further
//! left is not looked at, and neither is the other header, which a proxy passes on as a stranger wrote it.
use std::net::{IpAddr, Ipv6Addr};

use hotline::config::{ForwardedHeader, Server};
use http::HeaderMap;

/// A network as configured, `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    base: u128,
    mask: u128,
}

/// The networks whose word is believed.
pub(crate) struct TrustedProxies {
    networks: Vec<Network>,
    header: ForwardedHeader,
}

impl TrustedProxies {
    /// Entries that are no networks were refused when the configuration was parsed.
    pub(crate) fn new(server: &Server) -> Self {
        let networks = server.trusted_proxies.iter().filter_map(|text| Network::parse(text)).collect();
        Self { networks, header: server.forwarded_header }
    }

    pub(crate) fn caller(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        let (name, read_hop): (_, fn(&str) -> Option<IpAddr>) = match self.header {
            _ if !self.holds(peer) => return peer,
            ForwardedHeader::None => return peer,
            ForwardedHeader::XForwardedFor => ("x-forwarded-for", parse_hop),
            ForwardedHeader::Forwarded => ("forwarded", parse_element),
        };
        let mut caller = peer;
        for line in headers.get_all(name).iter().rev() {
            let Ok(line) = line.to_str() else { return caller };
            for hop in elements(line).into_iter().rev() {
                let Some(address) = read_hop(hop.trim()) else { return caller };
                caller = address;
                if !self.holds(address) {
                    return caller;
                }
            }
        }
        caller
    }

    /// A peer that speaks for others.
    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.holds(address))
    }
}

impl Network {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        // IPv4 lies in the last 32 bits of the mapped range.
        let (inside, width) = if address.is_ipv4() { (96, 32) } else { (0, 128) };
        let length = length.unwrap_or(width);
        if length > width {
            return None;
        }
        let mask = match inside + length {
            0 => 0,
            bits => u128::MAX << (128 - bits),
        };
        Some(Self { base: bits(address) & mask, mask })
    }

    fn holds(self, address: IpAddr) -> bool {
        bits(address) & self.mask == self.base
    }
}

/// What shares one anonymous budget: an IPv4 address, or the /64 that one IPv6 household has.
pub(crate) fn neighbourhood(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6) & (u128::MAX << 64),
    }
}

fn bits(address: IpAddr) -> u128 {
    let v6: Ipv6Addr = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    u128::from(v6)
}

/// What stands between commas; a comma within quotation marks is none.
fn elements(line: &str) -> Vec<&str> {
    let (mut found, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                found.push(&line[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&line[start..]);
    found
}

/// `for=192.0.2.60;proto=https` or `For="[2001:db8::17]:4711"`; a name that hides somebody tells nothing.
fn parse_element(text: &str) -> Option<IpAddr> {
    let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    let mut meant = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for")).map(|(_, value)| value.trim());
    let (value, None) = (meant.next()?, meant.next()) else { return None };
    let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    // An IPv6 address stands in brackets, with or without a port.
    let inside = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inside.map_or_else(
        || parse_hop(bare),
        |address| address.parse::<Ipv6Addr>().ok().map(|v6| IpAddr::V6(v6).to_canonical()),
    )
}

/// Proxies write `1.2.3.4`, `1.2.3.4:5678`, `2001:db8::1` or `[2001:db8::1]:5678`.
fn parse_hop(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let socket: std::net::SocketAddr = text.parse().ok()?;
    Some(socket.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(trusted: &[&str], peer: &str, lines: &[&str]) -> String {
        caller_by(ForwardedHeader::XForwardedFor, trusted, peer, "x-forwarded-for", lines)
    }

    fn forwarded(lines: &[&str]) -> String {
        caller_by(ForwardedHeader::Forwarded, &["10.0.0.0/8"], "10.1.2.3", "forwarded", lines)
    }

    fn caller_by(header: ForwardedHeader, trusted: &[&str], peer: &str, name: &'static str, lines: &[&str]) -> String {
        let networks = trusted.iter().filter_map(|text| Network::parse(text)).collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, line.parse().unwrap());
        }
        TrustedProxies { networks, header }.caller(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_header_of_the_standard_is_read_like_the_other() {
        assert_eq!(forwarded(&["for=198.51.100.7;proto=https;by=10.0.0.1"]), "198.51.100.7");
        assert_eq!(forwarded(&["for=6.6.6.6, For=\"198.51.100.7:4711\", for=10.9.9.9"]), "198.51.100.7");
        assert_eq!(forwarded(&["for=6.6.6.6", "proto=https; for=\"[2620:fe::9]:443\""]), "2620:fe::9");
        assert_eq!(forwarded(&["for=\"[2620:fe::9]\""]), "2620:fe::9");
        assert_eq!(forwarded(&["for=6.6.6.6, for=\"a, for=7.7.7.7\""]), "10.1.2.3", "a comma that is quoted");
        for hidden in ["for=unknown", "for=_secret", "by=198.51.100.7", "for=1.1.1.1;for=2.2.2.2", "198.51.100.7", ""] {
            assert_eq!(forwarded(&["for=6.6.6.6", hidden]), "10.1.2.3", "{hidden}");
        }
    }

    #[test]
    fn only_the_header_that_our_proxies_write_is_read() {
        use ForwardedHeader::{Forwarded, None, XForwardedFor};
        let by = |header, name, line| caller_by(header, &["10.0.0.0/8"], "10.1.2.3", name, &[line]);
        assert_eq!(by(Forwarded, "x-forwarded-for", "1.1.1.1"), "10.1.2.3");
        assert_eq!(by(XForwardedFor, "forwarded", "for=1.1.1.1"), "10.1.2.3");
        assert_eq!(by(None, "x-forwarded-for", "1.1.1.1"), "10.1.2.3");
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(caller(&[], "203.0.113.9", &["1.1.1.1"]), "203.0.113.9");
        assert_eq!(caller(&["10.0.0.0/8"], "203.0.113.9", &["1.1.1.1"]), "203.0.113.9");
    }

    #[test]
    fn the_rightmost_stranger_is_the_caller() {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"];
        assert_eq!(caller(&trusted, "10.1.2.3", &["6.6.6.6, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(caller(&trusted, "10.1.2.3", &["6.6.6.6, 198.51.100.7, 10.9.9.9"]), "198.51.100.7");
        assert_eq!(caller(&trusted, "10.1.2.3", &["6.6.6.6", "198.51.100.7"]), "198.51.100.7");
        assert_eq!(caller(&trusted, "::ffff:10.1.2.3", &["198.51.100.7:443"]), "198.51.100.7");
        assert_eq!(caller(&trusted, "2001:db8::5", &["[2620:fe::9]:443"]), "2620:fe::9");
    }

    #[test]
    fn nonsense_stops_the_walk_at_the_last_known_hop() {
        assert_eq!(caller(&["10.0.0.0/8"], "10.1.2.3", &["1.1.1.1, unknown, 10.4.4.4"]), "10.4.4.4");
        assert_eq!(caller(&["10.0.0.0/8"], "10.1.2.3", &[""]), "10.1.2.3");
    }

    #[test]
    fn ipv6_is_counted_by_household() {
        let at = |text: &str| neighbourhood(text.parse().unwrap());
        assert_eq!(at("2001:db8:1:2::3"), at("2001:db8:1:2:ffff::"));
        assert_ne!(at("2001:db8:1:2::3"), at("2001:db8:1:3::3"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
    }

    #[test]
    fn networks_that_are_none_are_not_taken() {
        for text in ["", "10.0.0.0/33", "::/129", "localhost", "10.0.0/8", "10.0.0.0/-1"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
        assert!(Network::parse("0.0.0.0/0").is_some_and(|all| all.holds("9.9.9.9".parse().unwrap())));
        assert!(!Network::parse("0.0.0.0/0").is_some_and(|all| all.holds("2001:db8::1".parse().unwrap())));
    }
}
