//! QR codes (ISO/IEC 18004): a text that a telephone reads off the screen.

use fast_qr::convert::svg::SvgBuilder;
use fast_qr::{ECL, QRBuilder};

/// A text does not fit into the largest QR code, which holds 2,331 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text is too long for a QR code")]
pub struct TooLong;

/// A text as a picture in SVG, black on white with the margin that readers need; it fits any size.
pub fn svg(text: &str) -> Result<String, TooLong> {
    // A screen is clean: half of the redundancy that print gets makes larger dots, which are read from further away.
    let code = QRBuilder::new(text).ecl(ECL::M).build().map_err(|_| TooLong)?;
    Ok(SvgBuilder::default().to_str(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_a_square_picture_with_its_margin() {
        let picture = svg("https://example.com/").unwrap();
        // 20 bytes need version 2: 25 dots, and four of margin on each side.
        assert!(picture.starts_with("<svg viewBox=\"0 0 33 33\" xmlns=\"http://www.w3.org/2000/svg\">"), "{picture}");
        assert!(picture.ends_with("</svg>"), "{picture}");
        // The outer corners of the three squares that readers look for.
        for corner in ["M4,4h1", "M28,4h1", "M4,28h1"] {
            assert!(picture.contains(corner), "{corner} in {picture}");
        }
        assert_ne!(picture, svg("https://example.org/").unwrap());
    }

    #[test]
    fn a_text_that_is_too_long_is_refused() {
        assert!(svg(&"ä".repeat(1_165)).is_ok());
        assert_eq!(svg(&"ä".repeat(1_166)), Err(TooLong));
    }
}
