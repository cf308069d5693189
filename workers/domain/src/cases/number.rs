//! Case numbers: twelve digits said in four groups, as in `482-109-375-614`.
//!
//! Digits because they survive a bad telephone line in any language; random, because counted numbers
//! tell how many callers there are and can be guessed. The last digit checks the others (Damm): every
//! single wrong digit and every swap of neighbours is noticed. The store refuses a number twice.
use std::fmt;

use aws_lc_rs::rand;

/// A number whose check digit is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CaseNumber(u64);

impl CaseNumber {
    /// A random one. `None` only if the system has no randomness.
    pub fn random() -> Option<Self> {
        let mut bytes = [0; 8];
        rand::fill(&mut bytes).ok()?;
        // 2^64 is so much larger than 10^11 that the remainder prefers nothing measurable.
        let payload = u64::from_le_bytes(bytes) % 10u64.pow(PAYLOAD_DIGITS);
        Some(Self(payload * 10 + check_digit(payload)))
    }

    /// Reads a number with or without its separators; `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut digits = 0;
        let mut number = 0u64;
        for letter in text.chars() {
            match letter {
                '0'..='9' if digits <= PAYLOAD_DIGITS => {
                    number = number * 10 + u64::from(letter as u32 - '0' as u32);
                    digits += 1;
                }
                '-' | ' ' => {}
                _ => return None,
            }
        }
        let whole = digits == PAYLOAD_DIGITS + 1;
        (whole && check_digit(number / 10) == number % 10).then_some(Self(number))
    }
}

impl fmt::Display for CaseNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = |power: u32| self.0 / 10u64.pow(power) % 1_000;
        write!(f, "{:03}-{:03}-{:03}-{:03}", group(9), group(6), group(3), group(0))
    }
}

fn check_digit(payload: u64) -> u64 {
    let digits = (0..PAYLOAD_DIGITS).rev().map(|power| payload / 10u64.pow(power) % 10);
    digits.fold(0, |interim, digit| u64::from(DAMM[interim as usize][digit as usize]))
}

const PAYLOAD_DIGITS: u32 = 11;

/// Damm's totally anti-symmetric quasigroup of order ten.
const DAMM: [[u8; 10]; 10] = [
    [0, 3, 1, 7, 5, 9, 8, 6, 4, 2],
    [7, 0, 9, 2, 1, 5, 4, 8, 6, 3],
    [4, 2, 0, 6, 8, 7, 1, 3, 5, 9],
    [1, 7, 5, 0, 9, 8, 3, 4, 2, 6],
    [6, 1, 2, 3, 0, 4, 5, 9, 7, 8],
    [3, 6, 7, 4, 2, 0, 9, 5, 8, 1],
    [5, 8, 6, 9, 7, 2, 0, 1, 3, 4],
    [8, 9, 4, 5, 3, 6, 2, 0, 1, 7],
    [9, 4, 3, 8, 6, 1, 7, 2, 0, 5],
    [2, 5, 8, 1, 4, 3, 6, 7, 9, 0],
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn a_million_numbers_collide_as_rarely_as_chance_allows() {
        let numbers: HashSet<u64> = (0..1_000_000).map(|_| CaseNumber::random().unwrap().0).collect();
        // Five pairs are expected among 10^11; the store's constraint and a new number settle them.
        assert!(numbers.len() > 999_950, "{}", numbers.len());
    }

    proptest! {
        #[test]
        fn numbers_are_read_back_however_they_are_written(payload in 0u64..100_000_000_000) {
            let number = CaseNumber(payload * 10 + check_digit(payload));
            let text = number.to_string();
            prop_assert_eq!(CaseNumber::parse(&text), Some(number));
            prop_assert_eq!(CaseNumber::parse(&text.replace('-', "")), Some(number));
            prop_assert_eq!(CaseNumber::parse(&text[1..]), None);
        }

        #[test]
        fn one_wrong_digit_is_noticed(payload in 0u64..100_000_000_000, at in 0usize..12, by in 1u8..10) {
            let number = CaseNumber(payload * 10 + check_digit(payload));
            let mut digits = format!("{:012}", number.0).into_bytes();
            digits[at] = b'0' + (digits[at] - b'0' + by) % 10;
            prop_assert_eq!(CaseNumber::parse(std::str::from_utf8(&digits).unwrap()), None);
        }

        #[test]
        fn swapped_neighbours_are_noticed(payload in 0u64..100_000_000_000, at in 0usize..11) {
            let number = CaseNumber(payload * 10 + check_digit(payload));
            let mut digits = format!("{:012}", number.0).into_bytes();
            prop_assume!(digits[at] != digits[at + 1]);
            digits.swap(at, at + 1);
            prop_assert_eq!(CaseNumber::parse(std::str::from_utf8(&digits).unwrap()), None);
        }
    }
}
