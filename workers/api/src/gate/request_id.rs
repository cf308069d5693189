//! Names for requests without a system call: boot, slot, generation, and a running number.
//!
//! They join the answer, the access log and the audit trail. They open nothing: no look-up takes one.
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

/// Gives out the ids of one worker.
pub(crate) struct RequestIds {
    prefix: [u8; PREFIX],
    next: AtomicU64,
}

/// 32 hexadecimal digits.
#[derive(Clone, Copy)]
pub(crate) struct RequestId([u8; LENGTH]);

impl RequestIds {
    pub(crate) fn new(boot_id: u64, slot: u16, generation: u32) -> Self {
        let mut prefix = [0; PREFIX];
        hex(boot_id, &mut prefix[..12]);
        hex(u64::from(slot), &mut prefix[12..16]);
        hex(u64::from(generation), &mut prefix[16..]);
        Self { prefix, next: AtomicU64::new(1) }
    }

    pub(crate) fn next(&self) -> RequestId {
        let mut id = [0; LENGTH];
        id[..PREFIX].copy_from_slice(&self.prefix);
        hex(self.next.fetch_add(1, Ordering::Relaxed), &mut id[PREFIX..]);
        RequestId(id)
    }
}

impl RequestId {
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }

    pub(crate) fn header_value(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).expect("hexadecimal digits are visible ASCII")
    }
}

/// The low digits of `value`, as many as fit.
fn hex(mut value: u64, into: &mut [u8]) {
    for digit in into.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 0xf) as usize];
        value >>= 4;
    }
}

const LENGTH: usize = 32;
const PREFIX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_within_and_between_workers() {
        let (first, second) = (RequestIds::new(0xabcd, 0, 1), RequestIds::new(0xabcd, 1, 1));
        let (one, two) = (first.next(), first.next());
        assert_eq!(one.as_str().len(), 32);
        assert_ne!(one.as_str(), two.as_str());
        assert_ne!(first.next().as_str(), second.next().as_str());
        assert_ne!(RequestIds::new(1, 0, 1).next().as_str(), RequestIds::new(1, 0, 2).next().as_str());
    }
}
