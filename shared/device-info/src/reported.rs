//! What a device says of itself when it signs in, and what it may say.

use domain::DeviceType;

/// What a device says of itself. Nothing in it is proven: it describes, and
/// admits to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportedInfo {
    /// The owner's own name for the device.
    pub name: Option<String>,
    /// What kind of thing it is.
    pub device_type: Option<DeviceType>,
    /// Its operating system, with or without a version.
    pub os: Option<String>,
    /// Its maker's name for it.
    pub model: Option<String>,
    /// The app that signs in.
    pub app: Option<String>,
}

impl ReportedInfo {
    /// The longest text that a claim may be, in Unicode code points, which is
    /// how JSON Schema's `maxLength` counts too.
    pub const MAX_CHARS: usize = 64;

    /// Trims every text and takes a blank one as not said.
    ///
    /// # Errors
    ///
    /// The first text, in the order of the fields, that is longer than
    /// [`ReportedInfo::MAX_CHARS`] as it was sent (so before trimming) or that has a
    /// control character (Unicode category Cc: U+0000–U+001F, U+007F–U+009F)
    /// anywhere.
    pub fn validated(self) -> Result<Self, InvalidInfo> {
        Ok(Self {
            name: checked("name", self.name)?,
            device_type: self.device_type,
            os: checked("os", self.os)?,
            model: checked("model", self.model)?,
            app: checked("app", self.app)?,
        })
    }
}

/// A claim that is not taken, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct InvalidInfo {
    /// The claim's name in the request: `name`, `os`, `model` or `app`.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: InfoProblem,
}

/// What is wrong with a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InfoProblem {
    /// Longer than [`ReportedInfo::MAX_CHARS`].
    #[error("is longer than {} characters", ReportedInfo::MAX_CHARS)]
    TooLong,
    /// A line break, a tab, an escape or the like.
    #[error("has a control character")]
    ControlCharacter,
}

fn checked(field: &'static str, text: Option<String>) -> Result<Option<String>, InvalidInfo> {
    let Some(text) = text else { return Ok(None) };
    if text.chars().nth(ReportedInfo::MAX_CHARS).is_some() {
        return Err(InvalidInfo {
            field,
            problem: InfoProblem::TooLong,
        });
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidInfo {
            field,
            problem: InfoProblem::ControlCharacter,
        });
    }
    let trimmed = text.trim();
    Ok((!trimmed.is_empty()).then(|| trimmed.to_owned()))
}
