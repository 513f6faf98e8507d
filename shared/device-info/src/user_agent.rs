//! The User-Agent. The parser knows browsers and operating systems; a table here adds
//! the devices that it does not know, mainly televisions and consoles.

use domain::DeviceType::{self, Computer, Console, Other, Phone, Tablet, Tv};
use woothee::parser::Parser;

/// The words in a User-Agent or model that identify a device.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sign {
    /// The words, in lower case. All of them must occur.
    words: &'static [&'static str],
    pub(crate) device_type: DeviceType,
    /// `None` where people have no name for it.
    pub(crate) os: Option<&'static str>,
    /// The name that people use for the device.
    pub(crate) product: Option<&'static str>,
}

const fn sign(
    words: &'static [&'static str],
    device_type: DeviceType,
    os: &'static str,
    product: &'static str,
) -> Sign {
    Sign {
        words,
        device_type,
        os: if os.is_empty() { None } else { Some(os) },
        product: if product.is_empty() {
            None
        } else {
            Some(product)
        },
    }
}

/// The signs, in order of precedence: the specific before the general.
const SIGNS: &[Sign] = &[
    sign(&["web0s"], Tv, "webOS", "LG TV"),
    sign(&["webos"], Tv, "webOS", "LG TV"),
    sign(&["netcast"], Tv, "NetCast", "LG TV"),
    sign(&["hbbtv", "lge"], Tv, "webOS", "LG TV"),
    sign(&["tizen", "tv"], Tv, "Tizen", "Samsung TV"),
    sign(&["smart-tv", "maple"], Tv, "", "Samsung TV"),
    sign(&["hbbtv", "samsung"], Tv, "Tizen", "Samsung TV"),
    sign(&["appletv"], Tv, "tvOS", "Apple TV"),
    sign(&["apple tv"], Tv, "tvOS", "Apple TV"),
    sign(&["tvos"], Tv, "tvOS", "Apple TV"),
    sign(&["roku"], Tv, "Roku OS", "Roku"),
    sign(&["; aft"], Tv, "Fire OS", "Fire TV"),
    sign(&["fire tv"], Tv, "Fire OS", "Fire TV"),
    sign(&["; kf", "android"], Tablet, "Fire OS", "Fire tablet"),
    sign(&["chromecast"], Tv, "", "Chromecast"),
    sign(&["crkey"], Tv, "", "Chromecast"),
    sign(&["bravia"], Tv, "Android TV", "Sony TV"),
    sign(&["shield android tv"], Tv, "Android TV", "Nvidia Shield"),
    sign(&["android tv"], Tv, "Android TV", "Android TV"),
    sign(&["android", "; tv"], Tv, "Android TV", "Android TV"),
    sign(&["androidtv"], Tv, "Android TV", "Android TV"),
    sign(&["google tv"], Tv, "Google TV", "Google TV"),
    sign(&["googletv"], Tv, "Google TV", "Google TV"),
    sign(&["vidaa"], Tv, "VIDAA", "Hisense TV"),
    sign(&["vizio"], Tv, "SmartCast", "Vizio TV"),
    sign(&["viera"], Tv, "", "Panasonic TV"),
    sign(&["philips", "tv"], Tv, "", "Philips TV"),
    sign(&["hbbtv"], Tv, "", "Smart TV"),
    sign(&["smart-tv"], Tv, "", "Smart TV"),
    sign(&["smarttv"], Tv, "", "Smart TV"),
    sign(&["playstation 5"], Console, "", "PlayStation 5"),
    sign(&["; ps5"], Console, "", "PlayStation 5"),
    sign(&["playstation 4"], Console, "", "PlayStation 4"),
    sign(&["; ps4"], Console, "", "PlayStation 4"),
    sign(&["xbox series x"], Console, "", "Xbox Series X"),
    sign(&["xbox series s"], Console, "", "Xbox Series S"),
    sign(&["xbox one"], Console, "", "Xbox One"),
    sign(&["xbox"], Console, "", "Xbox"),
    sign(&["nintendo switch 2"], Console, "", "Nintendo Switch 2"),
    sign(&["nintendo switch"], Console, "", "Nintendo Switch"),
    sign(&["oculusbrowser"], Other, "Horizon OS", "Meta Quest"),
    sign(&["iphone"], Phone, "iOS", "iPhone"),
    sign(&["ipad"], Tablet, "iPadOS", "iPad"),
    sign(&["ipod"], Phone, "iOS", "iPod touch"),
    sign(&["; ios", "phone"], Phone, "iOS", "iPhone"),
    sign(&["alamofire/", "; ios "], Phone, "iOS", ""),
];

/// Browsers that the parser mistakes for the one that they are based on.
const BROWSERS: &[(&str, &str)] = &[
    ("DuckDuckGo/", "DuckDuckGo"),
    ("Ddg/", "DuckDuckGo"),
    ("Silk/", "Silk"),
    ("OPT/", "Opera"),
    ("OPiOS/", "Opera"),
    ("MiuiBrowser/", "Mi Browser"),
    ("HuaweiBrowser/", "Huawei Browser"),
    ("UCBrowser/", "UC Browser"),
];

impl Sign {
    /// Returns the first sign that occurs in the text, in any case.
    pub(crate) fn find(text: &str) -> Option<&'static Self> {
        let text = text.to_ascii_lowercase();
        SIGNS
            .iter()
            .find(|sign| sign.words.iter().all(|word| text.contains(word)))
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

/// A parsed User-Agent.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) device_type: Option<DeviceType>,
    pub(crate) os: Option<&'static str>,
    pub(crate) browser: Option<&'static str>,
    /// Set for old devices that the table of signs does not have.
    pub(crate) product: Option<String>,
}

/// Parses a User-Agent. The first calls of a process compile the regular expressions
/// that they need; the crate's documentation has the cost.
pub(crate) fn parse(user_agent: &str) -> Parsed {
    let Some(found) = Parser::new().parse(user_agent) else {
        return Parsed::default();
    };
    let named = BROWSERS
        .iter()
        .find_map(|(word, browser)| user_agent.contains(word).then_some(*browser));
    let appliance = found.category == "appliance";
    Parsed {
        device_type: device_type(found.category, found.name, user_agent),
        os: if appliance { None } else { os(found.os) },
        browser: named.or_else(|| browser(found.name, found.browser_type)),
        product: appliance.then(|| found.name.to_owned()),
    }
}

fn device_type(category: &str, name: &str, user_agent: &str) -> Option<DeviceType> {
    match category {
        "pc" => Some(Computer),
        "smartphone" if is_android_tablet(user_agent) => Some(Tablet),
        "smartphone" | "mobilephone" => Some(Phone),
        "appliance" if name == "InternetTVBrowser" => Some(Tv),
        "appliance" => Some(Console),
        _ => None,
    }
}

/// Returns whether an Android device is a tablet. Chrome sends `Mobile` on phones only
/// and Firefox sends `Tablet`; Android's own runtime (Dalvik) sends neither, so it
/// counts as a phone.
fn is_android_tablet(user_agent: &str) -> bool {
    user_agent.contains("Android")
        && (user_agent.contains("Tablet")
            || (user_agent.contains("Chrome/") && !user_agent.contains("Mobile")))
}

/// Returns the operating system without its version, which browsers have frozen: see
/// the crate's documentation.
fn os(name: &str) -> Option<&'static str> {
    Some(match name {
        "Mac OSX" | "Mac OS Classic" => "macOS",
        "Windows Phone OS" => "Windows Phone",
        "iPad" => "iPadOS",
        "iPhone" | "iPod" | "iOS" => "iOS",
        "Android" => "Android",
        "ChromeOS" => "ChromeOS",
        "Linux" => "Linux",
        "BSD" => "BSD",
        name if name.starts_with("Windows") => "Windows",
        _ => return None,
    })
}

fn browser(name: &str, kind: &str) -> Option<&'static str> {
    if kind != "browser" {
        return None;
    }
    Some(match name {
        "Chrome" => "Chrome",
        "Safari" => "Safari",
        "Firefox" => "Firefox",
        "Edge" => "Edge",
        "Opera" => "Opera",
        "Internet Explorer" => "Internet Explorer",
        "SamsungBrowser" => "Samsung Internet",
        "Vivaldi" => "Vivaldi",
        "Yandex Browser" => "Yandex Browser",
        "Google Search App" => "Google app",
        "Sleipnir" => "Sleipnir",
        // A web view belongs to an app whose name is not in the User-Agent.
        _ => return None,
    })
}

/// What is not an app, though it is the first product: browsers, system software, and
/// the HTTP libraries that apps are built with. In lower case.
const NOT_APPS: &str = " mozilla opera hbbtv dalvik applecoremedia okhttp cronet volley retrofit dart \
    cfnetwork alamofire afnetworking moya ktor ktor-client java java-http-client apache-httpclient \
    httpclient jetty python python-requests python-urllib python-urllib3 python-httpx aiohttp \
    axios got node node-fetch node.js undici deno bun superagent curl libcurl wget httpie \
    go-http-client reqwest hyper ureq guzzlehttp php ruby faraday httparty libwww-perl \
    restsharp .net unityplayer unitywebrequest besthttp libhttp libsoup exoplayer exoplayerlib \
    stagefright gstreamer lavf postmanruntime insomnia ";

/// Returns the app whose name is the first product, as `Name/1.2` (RFC 9110 section
/// 10.1.5).
pub(crate) fn app(user_agent: &str) -> Option<String> {
    let (name, version) = user_agent.split_once('/')?;
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b" .-_%".contains(&byte));
    let is_app = is_name
        && version.starts_with(|first: char| first.is_ascii_digit())
        && !NOT_APPS.contains(&format!(" {} ", name.to_ascii_lowercase()));
    is_app.then(|| name.replace("%20", " "))
}

/// Returns the model in an Android User-Agent: the part after the version in the first
/// comment. Since version 110, Chrome sends `K` for every model.
pub(crate) fn android_model(user_agent: &str) -> Option<&str> {
    let comment = user_agent.split_once('(')?.1;
    // Finds the end of the comment. Models have parentheses too: "moto g(7) power".
    let mut depth = 0_u32;
    let end = comment.find(|character| {
        match character {
            '(' => depth += 1,
            ')' if depth == 0 => return true,
            ')' => depth -= 1,
            _ => {}
        }
        false
    })?;
    let mut parts = comment[..end].split(';').map(str::trim);
    parts.find(|part| part.starts_with("Android"))?;
    parts
        .map(|part| {
            part.split_once(" Build/")
                .map_or(part, |(model, _)| model.trim())
        })
        .find(|part| !is_filler(part))
}

/// Returns whether a part of an Android User-Agent's comment is not a model.
fn is_filler(part: &str) -> bool {
    let is_language = matches!(part.as_bytes(), [a, b, b'-' | b'_', c, d]
        if [a, b, c, d].iter().all(|letter| letter.is_ascii_alphabetic()));
    is_language
        || matches!(part, "" | "K" | "U" | "wv" | "Mobile" | "Tablet")
        || part.starts_with("rv:")
        || part.starts_with("Build/")
}
