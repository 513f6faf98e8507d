//! The details that a device reports about itself when it signs in, and their limits.

use domain::DeviceType;

use crate::text;

/// The details that a device reports about itself. None of them is proven, and none
/// grants anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportedInfo {
    /// The name that the device reports for itself.
    pub name: Option<String>,
    /// The device's type.
    pub device_type: Option<DeviceType>,
    /// The operating system, with or without a version.
    pub os: Option<String>,
    /// The manufacturer's model.
    pub model: Option<String>,
    /// The app that signs in.
    pub app: Option<String>,
}

impl ReportedInfo {
    /// The longest text, in Unicode code points, which `maxLength` of JSON Schema
    /// counts too.
    pub const MAX_CHARS: usize = 64;

    /// Validates every text, drops blank ones, and makes the others safe to show:
    /// trimmed, without hidden characters, and with few combining marks in a row.
    ///
    /// # Errors
    ///
    /// [`InvalidInfo`] for the first text, in the order of the fields, that is longer
    /// than [`ReportedInfo::MAX_CHARS`] before trimming, or that has a control
    /// character (Unicode category Cc: U+0000–U+001F, U+007F–U+009F), or that is not
    /// blank but has no visible character.
    pub fn validated(self) -> Result<Self, InvalidInfo> {
        Ok(Self {
            name: validated("name", self.name)?,
            device_type: self.device_type,
            os: validated("os", self.os)?,
            model: validated("model", self.model)?,
            app: validated("app", self.app)?,
        })
    }

    /// Returns the details with texts that are safe to show.
    pub(crate) fn cleaned(&self) -> Self {
        let cleaned = |text: &Option<String>| text::clean(text.as_deref()?, Self::MAX_CHARS);
        Self {
            name: cleaned(&self.name),
            device_type: self.device_type,
            os: cleaned(&self.os),
            model: cleaned(&self.model),
            app: cleaned(&self.app),
        }
    }
}

/// Validates the owner's name for a device, and makes it safe to show. A blank one
/// becomes `None`.
///
/// # Errors
///
/// As [`ReportedInfo::validated`].
pub fn owner_name(name: String) -> Result<Option<String>, InvalidInfo> {
    let name = validated("name", Some(name))?;
    Ok(name.and_then(|name| text::clean(&name, ReportedInfo::MAX_CHARS)))
}

/// The error for a reported text that is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct InvalidInfo {
    /// The field's name in the request: `name`, `os`, `model` or `app`.
    pub field: &'static str,
    /// The problem with the text.
    pub problem: InfoProblem,
}

/// The problem with a reported text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InfoProblem {
    /// Longer than [`ReportedInfo::MAX_CHARS`].
    #[error("is longer than {} characters", ReportedInfo::MAX_CHARS)]
    TooLong,
    /// A control character, such as a line break, a tab or an escape.
    #[error("has a control character")]
    ControlCharacter,
    /// Nothing that can be seen, such as a joiner or an accent on its own.
    #[error("has no visible character")]
    Invisible,
}

fn validated(field: &'static str, text: Option<String>) -> Result<Option<String>, InvalidInfo> {
    let refuse = |problem| Err(InvalidInfo { field, problem });
    let Some(text) = text else { return Ok(None) };
    if text.chars().nth(ReportedInfo::MAX_CHARS).is_some() {
        return refuse(InfoProblem::TooLong);
    }
    if text.chars().any(char::is_control) {
        return refuse(InfoProblem::ControlCharacter);
    }
    match text::clean(&text, ReportedInfo::MAX_CHARS) {
        None if !text.trim().is_empty() => refuse(InfoProblem::Invisible),
        cleaned => Ok(cleaned),
    }
}
