//! Where a sealed value belongs, in bytes that no other place has.

/// The place of a sealed value. Opening needs the same place to the letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aad<'a> {
    pub table: &'a str,
    /// Id of the row or object; also chooses the object's own key.
    pub row: &'a str,
    pub column: &'a str,
    /// Of the row: an older copy put back in its place does not open.
    pub version: u32,
}

impl Aad<'_> {
    /// As `bytes`, and of this subject alone.
    pub(super) fn bytes_of(&self, subject: &str, header: &[u8]) -> Vec<u8> {
        let version = self.version.to_le_bytes();
        let place = [self.table, self.row, self.column].map(str::as_bytes);
        length_prefixed([header, subject.as_bytes(), place[0], place[1], place[2], &version])
    }

    /// All of it behind the envelope's header, every part with its length before it.
    pub(super) fn bytes(&self, header: &[u8]) -> Vec<u8> {
        let version = self.version.to_le_bytes();
        length_prefixed([header, self.table.as_bytes(), self.row.as_bytes(), self.column.as_bytes(), &version])
    }
}

/// Parts that cannot be shifted into each other: `("a", "bc")` and `("ab", "c")` differ.
pub(super) fn length_prefixed<const N: usize>(parts: [&[u8]; N]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn different_places_never_have_the_same_bytes(a in prop::array::uniform3("[ab]{0,3}"), b in prop::array::uniform3("[ab]{0,3}")) {
            let place = |parts: &[String; 3]| {
                Aad { table: &parts[0], row: &parts[1], column: &parts[2], version: 1 }.bytes(&[1])
            };
            prop_assert_eq!(a == b, place(&a) == place(&b));
        }
    }
}
