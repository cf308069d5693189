//! The header with which a proxy on the TCP level says for whom it speaks: PROXY protocol, version 2.
//!
//! It is asked of peers within `server.trusted_proxies` alone, and of all of them: whoever is not trusted cannot
//! introduce anybody, and whoever is does not come without saying for whom.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Up to here the header tells how long it is.
pub(crate) const FIXED_BYTES: usize = 16;

/// Who is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Introduced {
    Caller(IpAddr),
    /// The proxy itself, as when it looks whether we are there.
    Itself,
}

/// How many bytes follow the fixed part; `None` if it is no header of this protocol, or one that is too long.
pub(crate) fn rest_bytes(fixed: &[u8; FIXED_BYTES]) -> Option<usize> {
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    (fixed[..12] == *SIGNATURE && fixed[12] >> 4 == VERSION && length <= REST_BYTES_MAX).then_some(length)
}

/// What a whole header says. Extensions behind the addresses are left alone.
pub(crate) fn parse(fixed: &[u8; FIXED_BYTES], rest: &[u8]) -> Option<Introduced> {
    if rest_bytes(fixed) != Some(rest.len()) {
        return None;
    }
    match (fixed[12] & 0xf, fixed[13]) {
        (LOCAL, _) | (PROXY, 0) => Some(Introduced::Itself),
        (PROXY, TCP_OVER_IPV4) => {
            // Both addresses, then both ports.
            let source: [u8; 4] = *rest.get(..12)?.first_chunk()?;
            Some(Introduced::Caller(IpAddr::V4(Ipv4Addr::from(source))))
        }
        (PROXY, TCP_OVER_IPV6) => {
            let source: [u8; 16] = *rest.get(..36)?.first_chunk()?;
            Some(Introduced::Caller(IpAddr::V6(Ipv6Addr::from(source)).to_canonical()))
        }
        _ => None,
    }
}

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const VERSION: u8 = 2;
const LOCAL: u8 = 0;
const PROXY: u8 = 1;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
/// Addresses, and extensions such as the name that a caller asked for.
const REST_BYTES_MAX: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> ([u8; FIXED_BYTES], Vec<u8>) {
        let mut fixed = [0; FIXED_BYTES];
        fixed[..12].copy_from_slice(SIGNATURE);
        (fixed[12], fixed[13]) = (VERSION << 4 | command, family);
        fixed[14..].copy_from_slice(&(rest.len() as u16).to_be_bytes());
        (fixed, rest.to_vec())
    }

    fn said(command: u8, family: u8, rest: &[u8]) -> Option<Introduced> {
        let (fixed, rest) = header(command, family, rest);
        parse(&fixed, &rest)
    }

    #[test]
    fn callers_of_both_families_are_introduced_with_or_without_extensions() {
        let v4 = [198, 51, 100, 7, 10, 0, 0, 1, 0xc0, 0, 0x1b, 0x58];
        let caller = Some(Introduced::Caller("198.51.100.7".parse().unwrap()));
        assert_eq!(said(PROXY, TCP_OVER_IPV4, &v4), caller);
        assert_eq!(said(PROXY, TCP_OVER_IPV4, &[&v4[..], &[4, 0, 1, 9]].concat()), caller);
        let source: Ipv6Addr = "2001:db8::7".parse().unwrap();
        let v6 = [&source.octets()[..], &[0; 20]].concat();
        assert_eq!(said(PROXY, TCP_OVER_IPV6, &v6), Some(Introduced::Caller(source.into())));
        let mapped = [&"::ffff:198.51.100.7".parse::<Ipv6Addr>().unwrap().octets()[..], &[0; 20]].concat();
        assert_eq!(said(PROXY, TCP_OVER_IPV6, &mapped), caller, "one caller has one address");
        assert_eq!((said(LOCAL, 0, &[]), said(PROXY, 0, &[])), (Some(Introduced::Itself), Some(Introduced::Itself)));
    }

    #[test]
    fn what_is_not_such_a_header_introduces_nobody() {
        assert_eq!(said(PROXY, TCP_OVER_IPV4, &[0; 11]), None, "cut short");
        assert_eq!(said(PROXY, TCP_OVER_IPV6, &[0; 35]), None);
        assert_eq!(said(PROXY, 0x12, &[0; 12]), None, "datagrams");
        assert_eq!(said(PROXY, 0x31, &[0; 216]), None, "unix sockets");
        assert_eq!(said(2, TCP_OVER_IPV4, &[0; 12]), None, "an unknown command");
        let (mut fixed, rest) = header(PROXY, TCP_OVER_IPV4, &[0; 12]);
        assert_eq!(parse(&fixed, &rest[..11]), None);
        fixed[12] = 0x11;
        assert_eq!(rest_bytes(&fixed), None, "version 1");
        let (mut fixed, _) = header(PROXY, TCP_OVER_IPV4, &[0; 12]);
        fixed[14] = 0xff;
        assert_eq!(rest_bytes(&fixed), None, "too long");
        assert_eq!(rest_bytes(b"GET / HTTP/1.1\r\n"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_parsing_panic(fixed: [u8; FIXED_BYTES], rest in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut signed = fixed;
            signed[..12].copy_from_slice(SIGNATURE);
            for fixed in [fixed, signed] {
                let _ = (rest_bytes(&fixed), parse(&fixed, &rest));
            }
        }
    }
}
