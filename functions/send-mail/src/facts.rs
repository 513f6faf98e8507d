//! What a notice shows of a device and a time, in the words of its language. Names that we don't
//! know ourselves are left out, although `notify-owner` queues none.

use std::net::IpAddr;

use device_info::known;
use domain::{DeviceType, Timestamp};
use mail::Language;

/// The facts of a notice, as its text shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub device: String,
    pub place: Option<String>,
    pub at: String,
    pub reference: String,
}

impl Facts {
    pub(crate) fn of(notice: &mail::Notice) -> Self {
        let language = notice.language;
        let kind = notice.device_type.as_deref().and_then(DeviceType::parse);
        let browser = notice.browser.as_deref().and_then(known::browser);
        let os = notice.os.as_deref().and_then(known::os);
        let program = match (browser, os) {
            (Some(browser), Some(os)) => format!(" ({browser}, {os})"),
            (Some(one), None) | (None, Some(one)) => format!(" ({one})"),
            (None, None) => String::new(),
        };
        Self {
            device: format!(
                "{}{program}",
                device_type(kind.unwrap_or_default(), language)
            ),
            place: place(notice),
            at: time(notice.at_s, language),
            reference: notice.reference.clone(),
        }
    }
}

/// Returns the places as the text shows them, with the number of those that it doesn't name.
fn place(notice: &mail::Notice) -> Option<String> {
    let named = notice.place.clone().filter(|place| is_place(place))?;
    let more = notice.failures.as_ref().map_or(0, |it| it.more_places);
    Some(match more {
        0 => named,
        more => format!("{named} (+{more})"),
    })
}

/// Returns whether a text is the name of a place or an address.
fn is_place(text: &str) -> bool {
    known::is_plain(text) || text.parse::<IpAddr>().is_ok()
}

/// The facts of many wrong passwords, as the text shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureFacts {
    pub count: u32,
    pub since: String,
}

impl FailureFacts {
    pub(crate) fn of(notice: &mail::Notice) -> Option<Self> {
        let failures = notice.failures.as_ref()?;
        Some(Self {
            count: failures.count,
            since: time(failures.since_s, notice.language),
        })
    }
}

fn device_type(device_type: DeviceType, language: Language) -> &'static str {
    let [en, es, de] = match device_type {
        DeviceType::Tv => ["Television", "Televisor", "Fernseher"],
        DeviceType::Phone => ["Phone", "Teléfono", "Handy"],
        DeviceType::Tablet => ["Tablet", "Tableta", "Tablet"],
        DeviceType::Computer => ["Computer", "Ordenador", "Computer"],
        DeviceType::Console => ["Games console", "Consola de juegos", "Spielkonsole"],
        DeviceType::Other => ["Device", "Dispositivo", "Gerät"],
    };
    match language {
        Language::En => en,
        Language::Es => es,
        Language::De => de,
    }
}

/// Returns a time in UTC. A mail has no clock of its reader.
fn time(at_s: i64, language: Language) -> String {
    let at = Timestamp::from_second(at_s).unwrap_or(Timestamp::UNIX_EPOCH);
    let pattern = match language {
        Language::En => "%Y-%m-%d, %H:%M UTC",
        Language::Es => "%d/%m/%Y, %H:%M UTC",
        Language::De => "%d.%m.%Y, %H:%M UTC",
    };
    at.strftime(pattern).to_string()
}
