//! Bytes and text as letters that are safe elsewhere: in a URL, in an authenticator app, read off paper.

use std::fmt::Write as _;

/// Everything but letters, digits and `-._~`, which mean themselves anywhere in a URL (RFC 3986).
pub(crate) fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _written = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

/// Five bits to a letter. Five bytes make eight letters, so nothing of ours needs padding; a rest of fewer than five
/// bytes would be left out.
pub(crate) fn base32(bytes: &[u8], letters: &[u8; 32]) -> String {
    let (blocks, _) = bytes.as_chunks::<5>();
    let letters_of = |block: &[u8; 5]| {
        let bits = block.iter().fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
        (0..8).rev().map(move |place| char::from(letters[(bits >> (5 * place)) as usize & 31]))
    };
    blocks.iter().flat_map(letters_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_gives_what_rfc_4648_says() {
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        assert_eq!(base32(b"fooba", letters), "MZXW6YTB");
        assert_eq!(base32(b"12345678901234567890", letters), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(base32(&[0, 0, 0, 0, 0, 255, 255, 255, 255, 255], letters), "AAAAAAAA77777777");
    }

    #[test]
    fn what_a_url_gives_a_meaning_is_escaped() {
        assert_eq!(percent("ada+x@example.com"), "ada%2Bx%40example.com");
        assert_eq!(percent("a b/é?"), "a%20b%2F%C3%A9%3F");
        assert_eq!(percent("aZ09-._~"), "aZ09-._~");
    }
}
