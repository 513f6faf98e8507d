//! The devices that a User-Agent or a model names: televisions, consoles, tablets,
//! phones. The words are in lower case; `#` stands for a digit.
//!
//! The tables are text, because each reference in a table of structures costs the
//! program 40 bytes. The suite compares them with Matomo's collection of User-Agents.

use domain::DeviceType::{self, Console, Other, Phone, Tablet, Tv};

/// The words that identify a device, with its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sign {
    pub(crate) device_type: DeviceType,
    /// `None` where people have no name for it.
    pub(crate) os: Option<&'static str>,
    /// The name that people use for the device.
    pub(crate) product: Option<&'static str>,
}

/// One line per device: words that must all occur, operating system, product. The
/// specific comes before the general.
const SIGNS: &[(DeviceType, &str)] = &[
    (Tv, "nexbox|Android TV|Android TV\n"),
    (Phone, "(webos/#|webOS|\n"),
    (
        Console,
        "\
playstation 5||PlayStation 5
; ps5||PlayStation 5
;ps5;||PlayStation 5
playstation 4||PlayStation 4
; ps4||PlayStation 4
playstation 3||PlayStation 3
playstation vita||PlayStation Vita
playstation portable||PSP
playstation||PlayStation
xbox series x||Xbox Series X
xbox series s||Xbox Series S
xbox one||Xbox One
xbox||Xbox
nintendo switch 2||Nintendo Switch 2
nintendo switch||Nintendo Switch
nintendo wiiu||Nintendo Wii U
nintendo wii||Nintendo Wii
nintendo 3ds||Nintendo 3DS
nintendo||
steamdeck|SteamOS|Steam Deck
retroid pocket|Android|Retroid Pocket
ouya|Android|
gamepad|Android|
(ps3)||PlayStation 3
",
    ),
    (
        Tv,
        "\
web0s|webOS|LG TV
webos|webOS|LG TV
netcast|NetCast|LG TV
hbbtv+lge|webOS|LG TV
tizen+tv|Tizen|Samsung TV
smart-tv+maple||Samsung TV
hbbtv+samsung|Tizen|Samsung TV
appletv|tvOS|Apple TV
apple tv|tvOS|Apple TV
tvos|tvOS|Apple TV
rokuos|Roku OS|Roku
/dvp-|Roku OS|Roku
; roku|Roku OS|Roku
(roku|Roku OS|Roku
; aft|Fire OS|Fire TV
amazon;aft|Fire OS|Fire TV
fire tv|Fire OS|Fire TV
chromecast||Chromecast
crkey||Chromecast
bravia|Android TV|Sony TV
shield android tv|Android TV|Nvidia Shield
mibox|Android TV|Xiaomi TV Box
freebox||Freebox
(sky,||Sky
brightsign||BrightSign
google tv|Google TV|Google TV
googletv|Google TV|Google TV
android tv|Android TV|Android TV
android+; tv|Android TV|Android TV
androidtv|Android TV|Android TV
android+ tv safari|Android TV|Android TV
vidaa|VIDAA|Hisense TV
vizio|SmartCast|Vizio TV
viera;||Panasonic TV
viera/||Panasonic TV
philips+tv||Philips TV
hbbtv||Smart TV
smart-tv||Smart TV
smarttv||Smart TV
 tv safari||Smart TV
inettvbrowser||Smart TV
nettv/||Smart TV
opera tv||Smart TV
 omi/||Smart TV
andr0id||Smart TV
wired)||Smart TV
wireless)||Smart TV
youview||Smart TV
hybridcast||Smart TV
bdplayer||Smart TV
avui/tv||Smart TV
netrange||Smart TV
espial||Smart TV
cobalt/||Smart TV
(dtv)||Smart TV
 stbapp||Smart TV
tvbrowser||Smart TV
",
    ),
    (
        Tablet,
        "\
android+; kf|Fire OS|Fire tablet
; kf+silk/|Fire OS|Fire tablet
macintosh+silk/|Fire OS|Fire tablet
",
    ),
    (Other, "oculusbrowser|Horizon OS|Meta Quest\n"),
    (
        Phone,
        "\
windows phone|Windows Phone|
iphone|iOS|iPhone
ipod|iOS|iPod touch
; ios+phone|iOS|iPhone
alamofire/+; ios |iOS|
",
    ),
    // A browser of iOS that says Macintosh requests the pages for desktops on an iPad.
    (
        Tablet,
        "\
ipad|iPadOS|iPad
macintosh+crios/|iPadOS|iPad
macintosh+edgios/|iPadOS|iPad
macintosh+fxios/|iPadOS|iPad
macintosh+opios/|iPadOS|iPad
macintosh+ opt/|iPadOS|iPad
macintosh+ gsa/|iPadOS|iPad
macintosh+ mobile/|iPadOS|iPad
",
    ),
];

/// The makers of televisions that are otherwise only known as a kind.
const MAKERS: &str = "\
sony||Sony TV
panasonic||Panasonic TV
philips||Philips TV
hisense||Hisense TV
tcl||TCL TV
toshiba||Toshiba TV
sharp||Sharp TV
grundig||Grundig TV
mitv||Xiaomi TV
xiaomi||Xiaomi TV
skyworth||Skyworth TV
thomson||Thomson TV
";

/// Parts of the models of Android televisions and their boxes, and the systems
/// that only they are built with (`build/`).
const TV_MODELS: &str = "\
    tv|led#|led-#|shell|box|stick|stb|ott|dvb| 4k|_4k|as4k| 8k|uhd|build/ppr2.|build/nmf26q\
    |build/m5c14j|build/mhc19j|build/tp1a.220905.004.a2|build/nhg47|build/qp1a.191105.004\
    |build/rd2a.211001|build/sp1a.211105|build/ptt|build/qtt|build/rtt|build/stt|build/utt\
    |build/qtg|build/rto|build/pi;|build/qt;|build/rt;|msd338|s905|rk33#8|amlogic|droidlogic\
    |a95x|a5x|; x88|x96| h96|; h96|t95m|t95z|; t95|t96m|; m8s|minim8s|mxq|; hk1|; tox|tx# |tx#s\
    |tx#m|kii pro|; km#;|; km# |km#p|; km##;|ugoos|nexon|zidoo|neo-x|neo-u|neo-z|neo u|; nv\
    |; td##|; tq##u|; mlt##|mqt##|wud##|xds|vmp-|; ct-8|mk80|mk90|ozone|formuler|selenga|beelink\
    |vorke|yundoo|orbsmart|pendoo|gtking|gtx-|gt1-|gt1m|kant-3|atom-|transpeed|vontar|invin\
    |evpad|abx-|s95_|tle-|andowl|movie|dreamstar|perfeo_pf|mecool|me-cool|tanix|xlr3|draco\
    |hiremco|skystream|nogapc|netta|dolamee|j-link|h-dmp|rombica|technosat|; tr99|; s900|; gi \
    |tb-b0|tb-po|tb-g0|; eo104|sbdv-|artline|toucan|; lime|; mag#|qm1##e|tpm1|x-media";

/// Parts of models that are not televisions, in spite of the words above.
const NOT_TV_MODELS: &str = "\
    tvm|bntv|stv100|easynote|letv|; htv3|btv-|hitv|turbox|runbox|smartv| dtv|_dtv|ltedtv|droidz\
    |natv|hibox|otto";

/// Parts of the models of Android tablets.
const TABLET_MODELS: &str = "\
    tab|pad|apad|; mid|-mid|; tb|; tz|sm-t|sm-x|sm-p|-w0|-al09|pmt|ipla|mfc|; an#|bq-7|read\
    |nexus 7|nexus 9|nexus 10|slate|3g_|tb-|mc_|; ipa|rmd|kob|plan|flye|903#x|; t1|_row;|jdn";

/// Parts of the models of phones that look like tablets: by the words above, or
/// because they don't send `Mobile` in an app or when they request pages for desktops.
const PHONE_MODELS: &str = "\
    coolpad|padfone|klipad|fonepad|; v####a|; sm-a|; sm-f|; sm-g|; sm-j|; sm-n9|; sm-s|; rmx\
    |; pixel #";

/// Sizes of televisions in inches.
const TV_INCHES: &[u8] = b"19 22 24 28 32 39 40 42 43 48 49 50 55 58 60 65 70 75 77 82 85 86 98";

impl Sign {
    /// Returns the first sign that occurs in the text, in any case.
    pub(crate) fn find(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let sign = SIGNS
            .iter()
            .find_map(|(device_type, lines)| Self::first(*device_type, lines, &text))?;
        Some(sign.with_maker(&text))
    }

    /// Returns the sign of an Android television in a model, which may be followed by
    /// its build: `MiTV-AFKR0 Build/PI`.
    pub(crate) fn of_model(model: &str) -> Option<Self> {
        let text = format!("; {};", model.to_ascii_lowercase());
        let is_tv =
            (any(TV_MODELS, &text) || begins_with_size(&text)) && !any(NOT_TV_MODELS, &text);
        let sign = Self {
            device_type: Tv,
            os: Some("Android TV"),
            product: Some("Android TV"),
        };
        is_tv.then(|| sign.with_maker(&text))
    }

    /// Returns the sign in the first line whose words all occur in the text, which is
    /// in lower case.
    pub(crate) fn first(device_type: DeviceType, lines: &'static str, text: &str) -> Option<Self> {
        let (os, product) = lines.lines().find_map(|line| {
            let (words, names) = line.split_once('|')?;
            let all = words.split('+').all(|word| occurs(word, text));
            all.then(|| names.split_once('|'))?
        })?;
        let named = |name: &'static str| Some(name).filter(|name| !name.is_empty());
        Some(Self {
            device_type,
            os: named(os),
            product: named(product),
        })
    }

    fn with_maker(mut self, text: &str) -> Self {
        if let Some("Smart TV" | "Android TV") = self.product
            && let Some(maker) = Self::first(Tv, MAKERS, text)
        {
            self.product = maker.product;
        }
        self
    }

    /// Returns whether the platform of a client hint is possible for this device. A
    /// browser on a television sends `Linux` or `Android`, which is true but less
    /// specific.
    pub(crate) fn runs_on(&self, platform: &str) -> bool {
        match (self.os, self.product) {
            (Some("iOS" | "iPadOS" | "tvOS"), _) => platform == "iOS",
            (_, Some(product)) if product.starts_with("Xbox") => platform == "Windows",
            _ => matches!(platform, "Linux" | "Android"),
        }
    }
}

/// Returns whether the model of an Android device is a tablet's or a phone's, if known.
pub(crate) fn is_tablet_model(model: &str) -> Option<bool> {
    let text = format!("; {};", model.to_ascii_lowercase());
    if any(PHONE_MODELS, &text) {
        return Some(false);
    }
    any(TABLET_MODELS, &text).then_some(true)
}

/// Returns whether one of the words (separated by `|`) occurs in the text.
fn any(words: &str, text: &str) -> bool {
    words.split('|').any(|word| occurs(word, text))
}

fn occurs(word: &str, text: &str) -> bool {
    if !word.contains('#') {
        return text.contains(word);
    }
    let matches = |(found, wanted): (&u8, &u8)| match wanted {
        b'#' => found.is_ascii_digit(),
        _ => found == wanted,
    };
    text.as_bytes()
        .windows(word.len())
        .any(|window| window.iter().zip(word.as_bytes()).all(matches))
}

/// Returns whether the model has the size of a television, as the models of many makers
/// do: at its front (`43UK35G`), or, if digits follow later, at the front of a part or
/// after one letter (`ASANO_32LH1010T`, `U43H8000E`).
fn begins_with_size(text: &str) -> bool {
    let model = text.split(" build/").next().unwrap_or_default().as_bytes();
    let letter = |at: usize| model.get(at).is_some_and(u8::is_ascii_alphabetic);
    let separator = |at: usize| matches!(model[at], b' ' | b'_' | b'-');
    let digit_after_letters = |from: usize| {
        let mut rest = model[from..]
            .iter()
            .skip_while(|byte| byte.is_ascii_alphabetic());
        rest.find(|byte| **byte != b'-')
            .is_some_and(u8::is_ascii_digit)
    };
    // The text begins with "; ".
    (2..model.len().saturating_sub(2)).any(|at| {
        TV_INCHES
            .chunks(3)
            .any(|size| model[at..at + 2] == size[..2])
            && letter(at + 2)
            && (at == 2
                || ((separator(at - 1) || letter(at - 1) && separator(at - 2))
                    && digit_after_letters(at + 2)))
    })
}
