//! QR codes (ISO/IEC 18004): a text that a telephone reads off the screen.

use fast_qr::convert::svg::SvgBuilder;
use fast_qr::{ECL, QRBuilder, QRCode};

/// The white margin of a PNG that readers need, in dots; an SVG has the same.
const MARGIN: usize = 4;
/// The side of a dot in a PNG, in pixels. With one bit to a pixel a dot is one byte wide.
const DOT: usize = 8;
const BLACK: u8 = 0x00;
const WHITE: u8 = 0xFF;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum QrError {
    /// The text does not fit into the largest QR code, which holds 2,331 bytes.
    #[error("the text is too long for a QR code")]
    TooLong,
    /// The PNG could not be written.
    #[error("a QR code cannot be written as PNG: {0}")]
    Png(#[from] png::EncodingError),
}

/// A text as a picture in SVG, black on white with the margin that readers need; it fits any size.
pub fn svg(text: &str) -> Result<String, QrError> {
    Ok(SvgBuilder::default().to_str(&code(text)?))
}

/// The same as PNG, one bit to a pixel and eight pixels to a dot.
pub fn png(text: &str) -> Result<Vec<u8>, QrError> {
    let code = code(text)?;
    let dots = code.size + 2 * MARGIN;
    let side = (dots * DOT) as u32;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&rows(&code, dots))?;
    writer.finish()?;
    Ok(bytes)
}

fn code(text: &str) -> Result<QRCode, QrError> {
    // A screen is clean: half of the redundancy that print gets makes larger dots, which are read from further away.
    QRBuilder::new(text).ecl(ECL::M).build().map_err(|_| QrError::TooLong)
}

/// All pixels, row by row.
fn rows(code: &QRCode, dots: usize) -> Vec<u8> {
    let inside = MARGIN..MARGIN + code.size;
    let mut rows = Vec::with_capacity(dots * dots * DOT);
    for y in 0..dots {
        let dot = |x: usize| {
            let dark = inside.contains(&y) && inside.contains(&x) && code[y - MARGIN][x - MARGIN].value();
            if dark { BLACK } else { WHITE }
        };
        let row: Vec<_> = (0..dots).map(dot).collect();
        for _ in 0..DOT {
            rows.extend_from_slice(&row);
        }
    }
    rows
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
    fn every_pixel_of_a_png_is_that_of_its_dot() {
        let text = "upi://pay?pa=autoos@bank&am=799.00&cu=INR";
        let expected = code(text).unwrap();
        let picture = png(text).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(picture)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        let side = (expected.size + 2 * MARGIN) * DOT;
        assert_eq!((info.width as usize, info.height as usize), (side, side));
        assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Grayscale, png::BitDepth::One));
        let inside = |at: usize| (MARGIN..MARGIN + expected.size).contains(&(at / DOT));
        for (x, y) in (0..side).flat_map(|y| (0..side).map(move |x| (x, y))) {
            let black = pixels[y * info.line_size + x / 8] & (0x80 >> (x % 8)) == 0;
            let dark = inside(x) && inside(y) && expected[y / DOT - MARGIN][x / DOT - MARGIN].value();
            assert_eq!(black, dark, "{x}, {y}");
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_refused() {
        assert!(svg(&"ä".repeat(1_165)).is_ok());
        assert!(matches!(svg(&"ä".repeat(1_166)), Err(QrError::TooLong)));
        assert!(matches!(png(&"ä".repeat(1_166)), Err(QrError::TooLong)));
    }
}
