//! Time-based one-time passwords (RFC 6238): SHA-1, six digits, 30 seconds. Other values are
//! not read by every authenticator app.

use fast_qr::convert::svg::SvgBuilder;
use fast_qr::convert::{Builder as _, Shape};
use fast_qr::qr::QRBuilder;
use jiff::Timestamp;
use totp_rs::{Builder, Totp};
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// The bytes of a secret: as many as SHA-1's digest (RFC 4226, section 4).
pub const SECRET_BYTES: usize = 20;

/// The steps of 30 seconds by which a device's clock may be off, either way (RFC 6238,
/// section 5.2).
const DRIFT_STEPS: u16 = 1;

const DIGITS: usize = 6;

/// The secret of an authenticator app. Wiped when dropped.
#[derive(ZeroizeOnDrop)]
pub struct TotpSecret([u8; SECRET_BYTES]);

/// A code that a person typed. Wiped when dropped.
#[derive(ZeroizeOnDrop)]
pub struct TotpCode(String);

impl TotpCode {
    /// Parses six digits, with or without blanks and dashes between them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_shown = |letter: &char| *letter != '-' && !letter.is_whitespace();
        let digits: String = text.chars().filter(is_shown).take(DIGITS + 1).collect();
        let is_code = digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit());
        is_code.then_some(Self(digits))
    }
}

impl TotpSecret {
    /// Creates a secret from random bytes.
    #[must_use]
    pub fn new(random: [u8; SECRET_BYTES]) -> Self {
        Self(random)
    }

    /// Restores a secret; `None` if it has another length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Returns the bytes, to seal.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the time step whose code this is: the current one, or one off.
    #[must_use]
    pub fn step_of(&self, code: &TotpCode, now: Timestamp) -> Option<u64> {
        let seconds = u64::try_from(now.as_second()).ok()?;
        self.totp("", "").check(&code.0, seconds)
    }

    /// Returns the text that a person can type into an app (RFC 4648, base 32).
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(self.totp("", "").secret().to_base32())
    }

    /// Returns the address that an app reads, as from a QR code (the key URI format).
    #[must_use]
    pub fn to_uri(&self, product: &str, email: &str) -> Zeroizing<String> {
        let without_colon = |text: &str| text.replace(':', " ");
        let totp = self.totp(&without_colon(product), &without_colon(email));
        Zeroizing::new(totp.to_url().unwrap_or_default())
    }

    fn totp(&self, product: &str, email: &str) -> Totp {
        Builder::new()
            .with_secret(self.0.as_slice())
            .with_skew(DRIFT_STEPS)
            .with_issuer(Some(product))
            .with_account_name(email)
            .build_noncompliant()
    }
}

/// Returns the QR code of a URI as an SVG image; `None` if the URI is too long for one.
#[must_use]
pub fn qr_code(uri: &str) -> Option<Zeroizing<String>> {
    let code = QRBuilder::new(uri).build().ok()?;
    let image = SvgBuilder::default().shape(Shape::Square).to_str(&code);
    Some(Zeroizing::new(image))
}

impl std::fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TotpSecret(…)")
    }
}

impl std::fmt::Debug for TotpCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TotpCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 6238, appendix B.
    fn secret() -> TotpSecret {
        TotpSecret::new(*b"12345678901234567890")
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// The vectors have eight digits; six are their end.
    const VECTORS: [(i64, &str); 6] = [
        (59, "94287082"),
        (1_111_111_109, "07081804"),
        (1_111_111_111, "14050471"),
        (1_234_567_890, "89005924"),
        (2_000_000_000, "69279037"),
        (20_000_000_000, "65353130"),
    ];

    #[test]
    fn the_codes_are_those_of_rfc_6238() {
        for (second, digits) in VECTORS {
            let code = TotpCode::parse(&digits[2..]).unwrap();
            let step = u64::try_from(second / 30).unwrap();
            assert_eq!(secret().step_of(&code, at(second)), Some(step), "{second}");
        }
    }

    #[test]
    fn a_code_is_accepted_one_step_before_and_after_its_own() {
        let (second, digits) = VECTORS[3];
        let code = TotpCode::parse(&digits[2..]).unwrap();
        let accepted = |steps: i64| secret().step_of(&code, at(second + 30 * steps)).is_some();
        let found: Vec<i64> = (-3..=3).filter(|steps| accepted(*steps)).collect();
        assert_eq!(found, [-1, 0, 1]);
    }

    #[test]
    fn a_code_has_six_digits() {
        assert!(TotpCode::parse("287 082").is_some() && TotpCode::parse("287-082").is_some());
        for wrong in ["", "28708", "2870820", "28708a", "+87082", "２87082"] {
            assert!(TotpCode::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn an_app_reads_the_uri() {
        let uri = secret().to_uri("Films: at home", "lea@example.com");
        assert_eq!(
            *uri,
            "otpauth://totp/Films%20%20at%20home:lea%40example.com?secret=\
             GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Films%20%20at%20home"
        );
        assert_eq!(*secret().to_text(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert!(qr_code(&uri).unwrap().starts_with("<svg"));
    }
}
