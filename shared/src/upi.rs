//! Asking for a payment by UPI: the link that payment apps in India open and that QR codes hold, by the linking
//! specification of NPCI.
//!
//! Nobody tells us that such a payment was made. Whoever looks at the bank account finds `tr` there.

use crate::domain::money::Money;
use crate::encoding::percent;

/// The longest text that the payer is shown, in characters.
const SHOWN: usize = 50;

/// A payment that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The UPI address that it goes to, checked.
    pub vpa: &'a str,
    /// Who is paid, as the payer is shown.
    pub payee: &'a str,
    /// How much.
    pub amount: Money,
    /// What the payment is known by on both sides; up to 35 letters and digits.
    pub reference: &'a str,
    /// What it is for, as the payer is shown.
    pub note: &'a str,
}

/// The link.
pub fn uri(request: &Request<'_>) -> String {
    let shown = |text: &str| percent(&text.chars().take(SHOWN).collect::<String>());
    format!(
        // An address has nothing that needs escaping: @ means itself in a query, and not every app reads %40.
        "upi://pay?pa={}&pn={}&am={}&cu={}&tr={}&tn={}",
        request.vpa,
        shown(request.payee),
        request.amount.decimal(),
        request.amount.currency.code(),
        percent(request.reference),
        shown(request.note),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Currency;

    #[test]
    fn a_link_says_whom_to_pay_how_much_and_what_for() {
        let long = "ä".repeat(SHOWN + 1);
        let request = Request {
            vpa: "autoos.shop@bank",
            payee: "Tom & Söhne",
            amount: Money { minor: 79_905, currency: Currency::INR },
            reference: "0199e0a4000070008000000000000001",
            note: &long,
        };
        let link = uri(&request);
        assert!(
            link.starts_with("upi://pay?pa=autoos.shop@bank&pn=Tom%20%26%20S%C3%B6hne&am=799.05&cu=INR&"),
            "{link}"
        );
        let read: Vec<_> = url::Url::parse(&link).unwrap().query_pairs().into_owned().collect();
        let names: Vec<_> = read.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["pa", "pn", "am", "cu", "tr", "tn"]);
        assert_eq!(read[1].1, "Tom & Söhne");
        assert_eq!(read[4].1, "0199e0a4000070008000000000000001");
        assert_eq!(read[5].1, "ä".repeat(SHOWN));
    }
}
