//! E-mail addresses, and the normal form by which an account is found.
//!
//! Accepts the addresses of RFC 5321 section 4.1.2 without quoted local parts,
//! comments and address literals, which no consumer mailbox uses. A local part may have
//! the letters, digits and marks of every script (RFC 6531 section 3.3), if they can be
//! seen. Blanks around an address are dropped. The normal form, which is unique per
//! account, and is what is stored and shown, is: Unicode NFC; the local part in lower
//! case; the domain in ASCII (UTS 46) and lower case. Dots and `+tags` stay: at most
//! providers they name different mailboxes.

use std::fmt;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, GeneralCategoryGroup};

/// The most bytes in an address: a path of 256 (RFC 5321 section 4.5.3.1.3) without
/// its angle brackets.
pub const MAX_BYTES: usize = 254;
/// The most bytes before the `@` (RFC 5321 section 4.5.3.1.1).
const MAX_LOCAL_BYTES: usize = 64;

/// An e-mail address in its normal form; redacted in `Debug`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EmailAddress {
    normal: String,
}

/// The reason why a text is not an e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEmail {
    /// Longer than [`MAX_BYTES`].
    #[error("is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// No valid local part, no `@`, or no domain with a dot.
    #[error("is not an e-mail address")]
    Malformed,
}

impl EmailAddress {
    /// Parses an address and brings it into its normal form.
    ///
    /// # Errors
    /// [`InvalidEmail`] with the reason.
    pub fn parse(text: &str) -> Result<Self, InvalidEmail> {
        let text = text.trim();
        if text.len() > MAX_BYTES {
            return Err(InvalidEmail::TooLong);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(InvalidEmail::Malformed)?;
        let local = ComposingNormalizerBorrowed::new_nfc()
            .normalize(local)
            .to_lowercase();
        // Lower-casing can produce text that is not NFC (İ becomes i and a combining
        // dot), so NFC is applied again.
        let local = ComposingNormalizerBorrowed::new_nfc()
            .normalize(&local)
            .into_owned();
        if local.len() > MAX_LOCAL_BYTES || !is_dot_string(&local) {
            return Err(InvalidEmail::Malformed);
        }
        // UTS 46, strict: one spelling per domain, whether it is typed in Unicode or
        // in Punycode. It also rejects IP addresses in brackets and empty labels.
        let domain = idna::domain_to_ascii_strict(domain).map_err(|_| InvalidEmail::Malformed)?;
        let labels: Vec<&str> = domain.split('.').collect();
        let top = labels.last().copied().unwrap_or_default();
        // A numeric last label is an IPv4 address, not a domain.
        if labels.len() < 2 || top.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidEmail::Malformed);
        }
        let normal = format!("{local}@{domain}");
        if normal.len() > MAX_BYTES {
            return Err(InvalidEmail::TooLong);
        }
        Ok(Self { normal })
    }

    /// Returns the normal form, by which the account is found.
    #[must_use]
    pub fn as_normal(&self) -> &str {
        &self.normal
    }

    /// Returns the address without what follows a `+`, which most providers deliver to the
    /// same mailbox.
    #[must_use]
    pub fn mailbox(&self) -> String {
        match self.normal.rsplit_once('@') {
            Some((local, domain)) => {
                let local = local.split_once('+').map_or(local, |(local, _)| local);
                format!("{local}@{domain}")
            }
            None => self.normal.clone(),
        }
    }

    /// Returns whether a service without SMTPUTF8 (RFC 6531), such as SES, can send mail to it:
    /// its local part is ASCII. Its domain is in ASCII in any case.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.normal.is_ascii()
    }

    /// Returns the words of the address, which must not make up a password.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.normal
            .split(['@', '.', '+', '-', '_'])
            .chain(std::iter::once(self.normal.as_str()))
            .filter(|word| word.chars().count() >= 3)
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(…)")
    }
}

/// Returns whether `local` is a `Dot-string` (RFC 5321 section 4.1.2).
fn is_dot_string(local: &str) -> bool {
    local.split('.').all(|atom| {
        !atom.is_empty() && !atom.starts_with(is_mark) && atom.chars().all(is_atom_text)
    })
}

fn is_atom_text(c: char) -> bool {
    let is_letter = c.is_alphanumeric() || is_mark(c);
    is_letter && !is_invisible(c) || "!#$%&'*+-/=?^_`{|}~".contains(c)
}

/// Returns whether a character combines with the one before it.
fn is_mark(c: char) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    GeneralCategoryGroup::Mark.contains(category)
}

/// Returns whether a letter or mark shows nothing (Unicode `Default_Ignorable_Code_Point`):
/// with one, two addresses that look the same would be two.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(text: &str) -> Option<String> {
        EmailAddress::parse(text)
            .ok()
            .map(|address| address.as_normal().to_owned())
    }

    #[test]
    fn every_spelling_of_an_address_is_one_address() {
        for spelling in ["Lea@Example.COM", "lea@example.com", "LEA@EXAMPLE.com"] {
            assert_eq!(normal(spelling).as_deref(), Some("lea@example.com"));
        }
        assert_eq!(
            normal("jose\u{301}@example.com"),
            normal("jos\u{e9}@example.com")
        );
        assert_eq!(
            normal("a@b\u{fc}cher.example").as_deref(),
            Some("a@xn--bcher-kva.example")
        );
        assert_eq!(
            normal("a@xn--bcher-kva.example"),
            normal("a@B\u{fc}CHER.example")
        );
    }

    #[test]
    fn addresses_that_differ_in_a_tag_or_a_dot_are_different() {
        assert_ne!(normal("lea+tv@example.com"), normal("lea@example.com"));
        assert_ne!(normal("l.ea@example.com"), normal("lea@example.com"));
    }

    #[test]
    fn an_address_of_any_script_is_accepted() {
        for (text, expected) in [
            (
                "\u{938}\u{902}\u{92a}\u{930}\u{94d}\u{915}@\u{921}\u{93e}\u{91f}\u{93e}\u{92e}\u{947}\u{932}.\u{92d}\u{93e}\u{930}\u{924}",
                "\u{938}\u{902}\u{92a}\u{930}\u{94d}\u{915}@xn--c2bd4bq1db8d.xn--h2brj9c",
            ),
            (
                "\u{e40}\u{e1b}\u{e47}\u{e14}@example.com",
                "\u{e40}\u{e1b}\u{e47}\u{e14}@example.com",
            ),
            ("x\u{323}\u{301}@example.com", "x\u{323}\u{301}@example.com"),
        ] {
            assert_eq!(normal(text).as_deref(), Some(expected));
            assert!(!EmailAddress::parse(text).unwrap().is_ascii());
        }
        let german = EmailAddress::parse("a@b\u{fc}cher.example").unwrap();
        assert!(german.is_ascii());
    }

    #[test]
    fn what_does_not_show_is_not_in_the_normal_form() {
        for spelling in [
            " lea@example.com",
            "lea@example.com\u{a0}\n",
            "lea@ex\u{200b}ample.com",
            "lea@\u{ff45}xample\u{3002}com",
        ] {
            assert_eq!(normal(spelling).as_deref(), Some("lea@example.com"));
        }
        assert_eq!(
            normal("\u{212a}@example.com").as_deref(),
            Some("k@example.com")
        );
        for hidden in [
            '\u{200b}',
            '\u{200d}',
            '\u{ad}',
            '\u{34f}',
            '\u{115f}',
            '\u{3164}',
            '\u{2800}',
            '\u{fe0f}',
            '\u{ffa0}',
            '\u{e0100}',
            '\u{202e}',
            '\u{a0}',
        ] {
            assert_eq!(
                normal(&format!("le{hidden}a@example.com")),
                None,
                "{hidden:?}"
            );
        }
    }

    #[test]
    fn an_invalid_address_is_rejected() {
        for text in [
            "",
            "@",
            "lea",
            "lea@",
            "@example.com",
            "lea@localhost",
            "lea@.com",
            "lea@example.",
            "lea@exa mple.com",
            "lea @example.com",
            "\u{301}lea@example.com",
            "lea.\u{301}a@example.com",
            "lea\n@example.com",
            "a..b@example.com",
            ".a@example.com",
            "a.@example.com",
            "\"a b\"@example.com",
            "lea@[127.0.0.1]",
            "lea@127.0.0.1",
            "a@b@example.com",
            "lea@example..com",
            "lea@-example.com",
            "lea\u{0}@example.com",
            "lea\u{202e}@example.com",
        ] {
            assert_eq!(normal(text), None, "{text:?}");
        }
        assert_eq!(
            EmailAddress::parse(&format!("{}@example.com", "a".repeat(300))),
            Err(InvalidEmail::TooLong)
        );
        assert_eq!(normal(&format!("{}@example.com", "a".repeat(65))), None);
    }

    #[test]
    fn debug_does_not_show_the_address() {
        let address = EmailAddress::parse("lea@example.com").unwrap();
        assert!(!format!("{address:?}").contains("lea"));
    }
}
