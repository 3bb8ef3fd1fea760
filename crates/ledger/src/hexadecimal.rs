//! Bytes as people and databases read them: two digits each, in lower case.

use std::fmt;

/// Shown as hexadecimal digits, such as a SHA-256.
#[derive(Clone, Copy, Debug)]
pub struct Hexadecimal<'a>(pub &'a [u8]);

impl fmt::Display for Hexadecimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_two_digits() {
        for (bytes, want) in [(&[][..], ""), (&[0, 0x0f, 0xa5, 0xff], "000fa5ff")] {
            assert_eq!(Hexadecimal(bytes).to_string(), want);
        }
    }
}
