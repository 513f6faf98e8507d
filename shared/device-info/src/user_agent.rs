//! The User-Agent: the browser, the operating system and the kind of device in one that
//! no [`Sign`] identifies, and the app.

use domain::DeviceType::{self, Computer, Other, Phone, Tablet};

use crate::signs::{Sign, is_tablet_model};

/// Browsers by what they add to a User-Agent (in lower case), the specific before the
/// one that they are based on. Apps that show pages in a browser of their own are named
/// too; without a name, a web view is not a browser.
pub(crate) const BROWSERS: &str = "\
edg/||Edge
edge/||Edge
edga/||Edge
edgios/||Edge
samsungbrowser/||Samsung Internet
yabrowser/||Yandex Browser
yasearchbrowser/||Yandex Browser
vivaldi/||Vivaldi
duckduckgo/||DuckDuckGo
ddg/||DuckDuckGo
silk/||Silk
miuibrowser/||Mi Browser
huaweibrowser/||Huawei Browser
ucbrowser/||UC Browser
heytapbrowser/||HeyTap Browser
vivobrowser/||vivo Browser
mqqbrowser/||QQ Browser
baidubrowser||Baidu
baiduboxapp||Baidu
alohabrowser/||Aloha
puffin/||Puffin
whale/||Whale
coc_coc_browser/||Coc Coc
phx/||Phoenix
sleipnir/||Sleipnir
opr/||Opera
opios/||Opera
opt/||Opera
opx/||Opera
opera||Opera
gsa/||Google app
micromessenger/||WeChat
fban/||Facebook
fbav/||Facebook
instagram||Instagram
fxios/||Firefox
firefox/||Firefox
msie ||Internet Explorer
trident/||Internet Explorer
crios/||Chrome
headlesschrome/||Headless Chrome
; wv)||
version/+chrome/||
android+version/||
chrome/||Chrome
chromium/||Chromium
version/+safari/||Safari
";

/// Systems by what a User-Agent says (in lower case), without a version: see the
/// crate's documentation.
const SYSTEMS: &[(DeviceType, &str)] = &[
    (
        Phone,
        "\
windows ce|Windows|
wds #|Windows Phone|
lumia|Windows Phone|
palmsource||
bada/|Bada|
fb4a;|Android|
dv(iph|iOS|iPhone
bb10;|BlackBerry|
blackberry|BlackBerry|
symbian|Symbian|
kaios|KaiOS|
midp||
up.browser||
",
    ),
    (Computer, "chromebook|ChromeOS|\n"),
    (Phone, "android|Android|\n; adr |Android|\n"),
    (
        Computer,
        "\
windows|Windows|
darwin/+(x86_64)|macOS|
darwin/+(i386)|macOS|
macintosh|macOS|
mac os|macOS|
mac_p|macOS|
win95|Windows|
win98|Windows|
win10|Windows|
winnt|Windows|
cros |ChromeOS|
",
    ),
    (Phone, "cfnetwork/+darwin/|iOS|\n(mobile;||\n"),
    (Computer, "bsd|BSD|\nlinux|Linux|\nx11;||\n"),
];

/// A parsed User-Agent.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) device_type: Option<DeviceType>,
    pub(crate) os: Option<&'static str>,
    pub(crate) browser: Option<&'static str>,
}

pub(crate) fn parse(user_agent: &str) -> Parsed {
    let text = user_agent.to_ascii_lowercase();
    let system = SYSTEMS
        .iter()
        .find_map(|(device_type, lines)| Sign::first(*device_type, lines, &text));
    let os = system.and_then(|system| system.os);
    let is_tablet = os == Some("Android") && is_android_tablet(user_agent, &text);
    Parsed {
        device_type: system.map(|system| {
            if is_tablet {
                Tablet
            } else {
                system.device_type
            }
        }),
        os,
        browser: Sign::first(Other, BROWSERS, &text).and_then(|browser| browser.product),
    }
}

/// Returns whether an Android device is a tablet. Browsers send `Mobile` on phones only,
/// and Firefox sends `Tablet`; Android's own runtime (Dalvik) sends neither, so only its
/// model shows it.
fn is_android_tablet(user_agent: &str, text: &str) -> bool {
    let is_browser = text.starts_with("mozilla/");
    let by_model = android_model(user_agent).and_then(is_tablet_model);
    text.contains("tablet")
        || text.contains("/apad")
        || by_model.unwrap_or(is_browser && !text.contains("mobile"))
}

/// Products that are not apps, though they come first: browsers, system software, and
/// the HTTP libraries that apps are built with. In lower case.
const NOT_APPS: &str = " mozilla opera hbbtv dalvik applecoremedia okhttp cronet volley retrofit dart \
    cfnetwork alamofire afnetworking moya ktor ktor-client java java-http-client apache-httpclient \
    httpclient jetty python python-requests python-urllib python-urllib3 python-httpx aiohttp \
    axios got node node-fetch node.js undici deno bun superagent curl libcurl wget httpie \
    go-http-client reqwest hyper ureq guzzlehttp php ruby faraday httparty libwww-perl \
    restsharp .net unityplayer unitywebrequest besthttp libhttp libsoup exoplayer exoplayerlib \
    stagefright gstreamer lavf applewebkit hybridcast zeasn brightsign postmanruntime insomnia ";

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

/// Returns the model in an Android User-Agent. Since version 110, Chrome sends `K` for
/// every model.
pub(crate) fn android_model(user_agent: &str) -> Option<&str> {
    Some(without_build(android_build(user_agent)?))
}

fn without_build(part: &str) -> &str {
    part.split_once(" Build/")
        .map_or(part, |(model, _)| model.trim())
}

/// Returns the model and the build in an Android User-Agent: the part after the version
/// in the first comment.
pub(crate) fn android_build(user_agent: &str) -> Option<&str> {
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
    parts.find(|part| !is_filler(without_build(part)))
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
