//! Who is calling: the socket's peer, unless a trusted proxy says for whom it speaks.
//!
//! `X-Forwarded-For` is read from the right: every hop that is a trusted proxy of ours is skipped and
//! the first stranger is the caller. Whatever a stranger wrote further left is not looked at.
use std::net::{IpAddr, Ipv6Addr};

use http::HeaderMap;

/// A network as configured, `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    base: u128,
    mask: u128,
}

/// The networks whose word is believed.
#[derive(Default)]
pub(crate) struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// Entries that are no networks were refused when the configuration was parsed.
    pub(crate) fn new(networks: &[String]) -> Self {
        Self(networks.iter().filter_map(|text| Network::parse(text)).collect())
    }

    pub(crate) fn caller(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if self.0.is_empty() || !self.holds(peer) {
            return peer;
        }
        let mut caller = peer;
        for line in headers.get_all("x-forwarded-for").iter().rev() {
            let Ok(line) = line.to_str() else { return caller };
            for hop in line.rsplit(',') {
                let Some(address) = parse_hop(hop.trim()) else { return caller };
                caller = address;
                if !self.holds(address) {
                    return caller;
                }
            }
        }
        caller
    }

    fn holds(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.holds(address))
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
        let trusted = TrustedProxies::new(&trusted.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        trusted.caller(peer.parse().unwrap(), &headers).to_string()
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
