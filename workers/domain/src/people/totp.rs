//! Codes of authenticator apps: RFC 6238 as those apps speak it, SHA-1, six digits, thirty seconds.
//!
//! SHA-1 is broken for signatures, not inside HMAC, and other digests are what half of the apps silently ignore.
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use data_encoding::{BASE32_NOPAD, Encoding};

/// The step of the code, if it is right now or was or will be for one step: clocks differ, and people type slowly.
pub(super) fn step_of(secret: &[u8], code: &str, now_s: u64) -> Option<u64> {
    let present = now_s / STEP_SECONDS;
    let steps = [present, present.saturating_sub(1), present + 1];
    // All three are looked at whichever is right, so that the time tells nothing.
    steps.into_iter().fold(None, |found, step| {
        let expected = format!("{:06}", truncated(secret, step) % 1_000_000);
        let is_it = verify_slices_are_equal(expected.as_bytes(), code.as_bytes()).is_ok();
        found.or(is_it.then_some(step))
    })
}

/// As an authenticator app shows it at that moment.
pub fn code_at(secret: &[u8], now_s: u64) -> String {
    format!("{:06}", truncated(secret, now_s / STEP_SECONDS) % 1_000_000)
}

/// What a person types into an app that cannot read the picture.
pub(super) fn spelled(secret: &[u8]) -> String {
    SPELLING.encode(secret)
}

/// What an app reads from the picture.
pub(super) fn uri(name: &str, secret: &[u8]) -> String {
    let label: String = name.bytes().map(percent_encoded).collect();
    let secret = spelled(secret);
    format!("otpauth://totp/hotline:{label}?secret={secret}&issuer=hotline&algorithm=SHA1&digits=6&period=30")
}

fn percent_encoded(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    }
}

/// RFC 4226, before it is cut to digits.
fn truncated(secret: &[u8], counter: u64) -> u32 {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &counter.to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[tag.len() - 1] & 0xf);
    let word: [u8; 4] = tag[at..at + 4].try_into().expect("20 bytes hold four from any of the first 16");
    u32::from_be_bytes(word) & 0x7fff_ffff
}

const SPELLING: Encoding = BASE32_NOPAD;
const STEP_SECONDS: u64 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn the_reference_values_of_both_standards() {
        let counted = [755_224, 287_082, 359_152, 969_429, 338_314, 254_676, 287_922, 162_583, 399_871, 520_489];
        for (counter, expected) in (0u64..).zip(counted) {
            assert_eq!(truncated(SECRET, counter) % 1_000_000, expected, "RFC 4226, {counter}");
        }
        let timed = [
            (59, 94_287_082),
            (1_111_111_109, 7_081_804),
            (1_111_111_111, 14_050_471),
            (1_234_567_890, 89_005_924),
            (2_000_000_000, 69_279_037),
            (20_000_000_000, 65_353_130),
        ];
        for (now_s, expected) in timed {
            assert_eq!(truncated(SECRET, now_s / STEP_SECONDS) % 100_000_000, expected, "RFC 6238, {now_s}");
        }
    }

    #[test]
    fn a_code_holds_for_its_step_and_one_on_either_side() {
        let now_s = 1_234_567_890;
        let code = code_at(SECRET, now_s);
        assert_eq!(code, "005924", "leading zeros are part of it");
        for (at_s, holds) in [(now_s, true), (now_s - 30, true), (now_s + 30, true), (now_s - 60, false)] {
            assert_eq!(step_of(SECRET, &code, at_s), holds.then_some(now_s / 30), "{at_s}");
        }
        for wrong in ["", "5924", "005925", "0005924", "00592４", "+05924"] {
            assert_eq!(step_of(SECRET, wrong, now_s), None, "{wrong}");
        }
        assert!(step_of(SECRET, &code_at(SECRET, 0), 0).is_some(), "the beginning of time");
    }

    #[test]
    fn the_address_for_an_app_carries_the_secret_and_an_escaped_name() {
        assert_eq!(
            uri("ana&ruiz", SECRET),
            "otpauth://totp/hotline:ana%26ruiz?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=hotline&algorithm=SHA1&digits=6&period=30"
        );
    }
}
