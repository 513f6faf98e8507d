use std::time::{Duration, Instant};

use super::*;
use domain::DeviceType::{Computer, Console, Other, Phone, Tablet, Tv};

/// Describes a device by its User-Agent alone.
fn seen(user_agent: &str) -> String {
    line(&describe(
        &ReportedInfo::default(),
        Some(user_agent),
        &ClientHints::default(),
    ))
}

fn assert_seen(cases: &[(&str, &str)]) {
    for (user_agent, expected) in cases {
        assert_eq!(seen(user_agent), *expected, "{user_agent}");
    }
}

/// Formats a description as type, system, browser, app, model and name.
fn line(info: &DeviceInfo) -> String {
    let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    format!(
        "{} | {} | {} | {} | {} | {}",
        info.device_type.as_str(),
        shown(&info.os),
        shown(&info.browser),
        shown(&info.app),
        shown(&info.model),
        info.name,
    )
}

fn reported(
    name: Option<&str>,
    device_type: Option<DeviceType>,
    os: Option<&str>,
    model: Option<&str>,
    app: Option<&str>,
) -> ReportedInfo {
    ReportedInfo {
        name: name.map(str::to_owned),
        device_type,
        os: os.map(str::to_owned),
        model: model.map(str::to_owned),
        app: app.map(str::to_owned),
    }
}

/// The description of a device that nothing is known about.
const UNSEEN: &str = "other | - | - | - | - | Unknown device";

fn named(name: &str) -> ReportedInfo {
    reported(Some(name), None, None, None, None)
}

const CHROME_ON_LINUX: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
const CHROME_ON_WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
const CHROME_ON_ANDROID: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36";
const SAFARI_ON_IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
const SAFARI_ON_MAC: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15";
const SAMSUNG_TV: &str = "Mozilla/5.0 (SMART-TV; LINUX; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) 94.0.4606.31/7.0 TV Safari/537.36";
const LG_TV: &str = "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/94.0.4606.128 Safari/537.36 WebAppManager";
const PLAYSTATION_5: &str = "Mozilla/5.0 (PlayStation; PlayStation 5/6.50) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15";
const XBOX: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox Series X) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 Edge/44.18363.8131";

mod user_agents {
    use super::*;

    #[test]
    fn televisions_are_recognized_by_their_platform() {
        assert_seen(&[
            (SAMSUNG_TV, "tv | Tizen | - | - | Samsung TV | Samsung TV"),
            (
                "Mozilla/5.0 (SMART-TV; Linux; Tizen 5.0) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/2.2 Chrome/63.0.3239.84 TV Safari/537.36",
                "tv | Tizen | Samsung Internet | - | Samsung TV | Samsung TV",
            ),
            (LG_TV, "tv | webOS | - | - | LG TV | LG TV"),
            (
                "HbbTV/1.4.1 (+DRM;LGE;43UJ620Y-ZA;WEBOS4 05.00;W4_M16;DTV_W17M;)",
                "tv | webOS | - | - | LG TV | LG TV",
            ),
            (
                "Mozilla/5.0 (Linux; Android 9; BRAVIA 4K GB Build/PTT1.190515.001.S38; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/88.0.4324.152 Mobile Safari/537.36",
                "tv | Android TV | - | - | BRAVIA 4K GB | Sony TV",
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; Smart TV Pro Build/UTT3.240625; GoogleTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
                "tv | Google TV | - | - | Smart TV Pro | Google TV",
            ),
            (
                "Mozilla/5.0 (SmartHub; SMART-TV; U; Linux/SmartTV; Maple2012) AppleWebKit/534.7 (KHTML, like Gecko) SmartTV Safari/534.7",
                "tv | - | - | - | Samsung TV | Samsung TV",
            ),
            (
                "Mozilla/5.0 (Linux; U; en-us; SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/80.0.0.0 Safari/537.36",
                "tv | - | - | - | Smart TV | Smart TV",
            ),
        ]);
    }

    #[test]
    fn set_top_boxes_and_sticks_are_televisions() {
        assert_seen(&[
            (
                "Mozilla/5.0 (Linux; Android 12; Chromecast Build/STTE.230319.008.H1; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/114.0.5735.130 Safari/537.36",
                "tv | - | - | - | Chromecast | Chromecast",
            ),
            (
                "Mozilla/5.0 (X11; Linux armv7l) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0.4430.225 Safari/537.36 CrKey/1.56.500000 DeviceType/Chromecast",
                "tv | - | - | - | Chromecast | Chromecast",
            ),
            (
                "Dalvik/2.1.0 (Linux; U; Android 11; SHIELD Android TV Build/RQ1A.210105.003)",
                "tv | Android TV | - | - | SHIELD Android TV | Nvidia Shield",
            ),
            (
                "Mozilla/5.0 (Linux; Android 7.1.2; AFTMM Build/NS6265; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/70.0.3538.110 Mobile Safari/537.36",
                "tv | Fire OS | - | - | AFTMM | Fire TV",
            ),
            (
                "AppleTV14,1/17.4",
                "tv | tvOS | - | - | Apple TV | Apple TV",
            ),
            (
                "AppleCoreMedia/1.0.0.21L569 (Apple TV; U; CPU OS 17_4 like Mac OS X; en_us)",
                "tv | tvOS | - | - | Apple TV | Apple TV",
            ),
            (
                "Streamy/5.2.1 (com.example.streamy; build:412; tvOS 17.4.0) Alamofire/5.9.0",
                "tv | tvOS | - | Streamy | Apple TV | Streamy on Apple TV",
            ),
            (
                "Roku/DVP-12.0 (12.0.0.4182-C2)",
                "tv | Roku OS | - | - | Roku | Roku",
            ),
        ]);
    }

    #[test]
    fn a_televisions_model_identifies_it_whatever_the_app() {
        assert_seen(&[
            (
                "Dalvik/2.1.0 (Linux; U; Android 9; MiTV-AFKR0 Build/PI)",
                "tv | Android TV | - | - | MiTV-AFKR0 | Xiaomi TV",
            ),
            (
                "Mozilla/5.0 (Linux; Android 6.0.1; 43UK35G Build/M5C14J; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/69.0.3497.100 Mobile Safari/537.36",
                "tv | Android TV | - | - | 43UK35G | Android TV",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/109.0.0.0 Safari/537.36 Freebox/1.0",
                "tv | - | - | - | Freebox | Freebox",
            ),
            (
                "Mozilla/5.0 (Linux armv7l) AppleWebKit/537.36 (KHTML, like Gecko) Cobalt/22 (Sony, KDL48W605B, Wired)",
                "tv | - | - | - | Sony TV | Sony TV",
            ),
            (
                "StreamyTV/5.2 (Linux; U; Android 14; Pixel 8 Build/UD1A.230803.041)",
                "phone | Android | - | StreamyTV | Pixel 8 | StreamyTV on Pixel 8",
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; LE2115) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/109.0.0.0 Mobile Safari/537.36",
                "phone | Android | Chrome | - | LE2115 | Chrome on Android",
            ),
        ]);
    }

    #[test]
    fn a_browser_of_ios_on_a_mac_is_an_ipad_in_desktop_mode() {
        let on_mac = |browser| {
            format!(
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) {browser} Safari/605.1.15"
            )
        };
        for (browser, name) in [
            ("CriOS/126", "Chrome"),
            ("Version/17.0 EdgiOS/126.0.2592.56", "Edge"),
            ("FxiOS/127.0", "Firefox"),
        ] {
            assert_eq!(
                seen(&on_mac(browser)),
                format!("tablet | iPadOS | {name} | - | iPad | {name} on iPad")
            );
        }
    }

    #[test]
    fn consoles_have_their_own_names() {
        assert_seen(&[
            (
                PLAYSTATION_5,
                "console | - | - | - | PlayStation 5 | PlayStation 5",
            ),
            (
                "Mozilla/5.0 (PlayStation 4 10.50) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15",
                "console | - | - | - | PlayStation 4 | PlayStation 4",
            ),
            (XBOX, "console | - | - | - | Xbox Series X | Xbox Series X"),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/58.0.3029.110 Safari/537.36 Edge/16.16299",
                "console | - | - | - | Xbox One | Xbox One",
            ),
            (
                "Mozilla/5.0 (Nintendo Switch; WifiWebAuthApplet) AppleWebKit/609.4 (KHTML, like Gecko) NF/6.0.2.21.3 NintendoBrowser/5.1.0.22474",
                "console | - | - | - | Nintendo Switch | Nintendo Switch",
            ),
            (
                "Mozilla/5.0 (Nintendo WiiU) AppleWebKit/536.28 (KHTML, like Gecko) NX/3.0.3.12.14 NintendoBrowser/3.0.0.9561.US",
                "console | - | - | - | Nintendo Wii U | Nintendo Wii U",
            ),
        ]);
    }

    #[test]
    fn phones_and_tablets_are_distinguished() {
        assert_seen(&[
            (
                SAFARI_ON_IPHONE,
                "phone | iOS | Safari | - | iPhone | Safari on iPhone",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1",
                "phone | iOS | Chrome | - | iPhone | Chrome on iPhone",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/127.0 Mobile/15E148 Safari/605.1.15",
                "phone | iOS | Firefox | - | iPhone | Firefox on iPhone",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
                "phone | iOS | - | - | iPhone | iPhone",
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 12_5_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1.2 Mobile/15E148 Safari/604.1",
                "tablet | iPadOS | Safari | - | iPad | Safari on iPad",
            ),
            (
                CHROME_ON_ANDROID,
                "phone | Android | Chrome | - | - | Chrome on Android",
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
                "tablet | Android | Chrome | - | - | Chrome on Android",
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/109.0.0.0 Mobile Safari/537.36",
                "phone | Android | Chrome | - | SM-S918B | Chrome on Android",
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36",
                "phone | Android | Samsung Internet | - | - | Samsung Internet on Android",
            ),
            (
                "Mozilla/5.0 (Linux; U; Android 10; moto g(7) power Build/QCO30.85-18; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/112.0.0.0 Mobile Safari/537.36",
                "phone | Android | - | - | moto g(7) power | moto g(7) power",
            ),
            (
                "Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0",
                "phone | Android | Firefox | - | - | Firefox on Android",
            ),
            (
                "Mozilla/5.0 (Android 14; Tablet; rv:127.0) Gecko/127.0 Firefox/127.0",
                "tablet | Android | Firefox | - | - | Firefox on Android",
            ),
            (
                "Mozilla/5.0 (Linux; Android 11; KFTRWI) AppleWebKit/537.36 (KHTML, like Gecko) Silk/126.3.1 like Chrome/126.0.6478.122 Safari/537.36",
                "tablet | Fire OS | Silk | - | KFTRWI | Silk on Fire tablet",
            ),
            (
                "Mozilla/5.0 (Linux; U; Android 13; en-us; M2101K6G Build/TKQ1.221013.002) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/112.0.5615.136 Mobile Safari/537.36 XiaoMi/MiuiBrowser/14.5",
                "phone | Android | Mi Browser | - | M2101K6G | Mi Browser on Android",
            ),
        ]);
    }

    #[test]
    fn computers_are_named_by_browser_and_system() {
        assert_seen(&[
            (
                CHROME_ON_LINUX,
                "computer | Linux | Chrome | - | - | Chrome on Linux",
            ),
            (
                CHROME_ON_WINDOWS,
                "computer | Windows | Chrome | - | - | Chrome on Windows",
            ),
            (
                SAFARI_ON_MAC,
                "computer | macOS | Safari | - | - | Safari on macOS",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
                "computer | macOS | Chrome | - | - | Chrome on macOS",
            ),
            (
                "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
                "computer | ChromeOS | Chrome | - | - | Chrome on ChromeOS",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0",
                "computer | Windows | Firefox | - | - | Firefox on Windows",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:127.0) Gecko/20100101 Firefox/127.0",
                "computer | macOS | Firefox | - | - | Firefox on macOS",
            ),
            (
                "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
                "computer | Linux | Firefox | - | - | Firefox on Linux",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0",
                "computer | Windows | Edge | - | - | Edge on Windows",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 OPR/112.0.0.0",
                "computer | Windows | Opera | - | - | Opera on Windows",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15 Ddg/17.5",
                "computer | macOS | DuckDuckGo | - | - | DuckDuckGo on macOS",
            ),
        ]);
    }

    #[test]
    fn apps_are_named_by_the_first_product() {
        assert_seen(&[
            (
                "Streamy%20Kids/5.2.1 CFNetwork/1494.0.7 Darwin/23.4.0",
                "phone | iOS | - | Streamy Kids | - | Streamy Kids on iOS",
            ),
            (
                "Streamy/5.2.1 (com.example.streamy; build:412; iOS 17.4.1) Alamofire/5.9.0",
                "phone | iOS | - | Streamy | - | Streamy on iOS",
            ),
            (
                "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/UD1A.230803.041)",
                "phone | Android | - | - | Pixel 8 | Pixel 8",
            ),
        ]);
    }

    #[test]
    fn an_http_library_is_not_an_app() {
        for library in [
            "okhttp/4.12.0",
            "okhttp/5.0.0-alpha.14",
            "Dart/3.4 (dart:io)",
            "CFNetwork/1494.0.7",
            "python-requests/2.32.3",
            "axios/1.7.2",
            "curl/8.5.0",
            "Alamofire/5.9.0",
            "Ktor/2.3",
            "ktor-client",
            "Apache-HttpClient/4.5.14 (Java/17.0.9)",
            "Java/17.0.9",
            "Java-http-client/21.0.1",
            "Go-http-client/2.0",
            "node",
            "node/22",
            "undici/6.19",
            "reqwest/0.12.5",
            "Python/3.12 aiohttp/3.9.5",
            "UnityPlayer/2022.3.4f1 (UnityWebRequest/1.0, libcurl/8.4.0-DEV)",
        ] {
            let bare = describe(
                &ReportedInfo::default(),
                Some(library),
                &ClientHints::default(),
            );
            assert_eq!(bare.app, None, "{library}");
            let bravia = reported(None, Some(Tv), None, Some("BRAVIA"), None);
            let iphone = reported(None, None, Some("iOS 17.5"), Some("iPhone"), None);
            let named = |reported| describe(reported, Some(library), &ClientHints::default()).name;
            assert_eq!(named(&bravia), "Sony TV", "{library}");
            assert_eq!(named(&iphone), "iPhone", "{library}");
        }
    }

    #[test]
    fn an_unreadable_user_agent_is_an_unknown_device() {
        let nothing = UNSEEN;
        assert_eq!(
            line(&describe(
                &ReportedInfo::default(),
                None,
                &ClientHints::default()
            )),
            nothing
        );
        assert_eq!(seen(""), nothing);
        assert_eq!(seen("okhttp/4.12.0"), nothing);
        assert_eq!(seen("-"), nothing);
        assert_eq!(seen("   \t "), nothing);
        assert_eq!(seen("asdkjh !!! (((("), nothing);
        assert_eq!(seen("Mozilla/5.0"), nothing);
        assert_eq!(seen("))))/1.0 ;;;("), nothing);
        assert_eq!(seen("<script>alert(1)</script>"), nothing);
    }
}

mod client_hints {
    use super::*;

    const CHROME: &str = r#""Chromium";v="126", "Google Chrome";v="126", "Not/A)Brand";v="8""#;

    fn hinted(user_agent: &str, hints: &ClientHints<'_>) -> String {
        line(&describe(&ReportedInfo::default(), Some(user_agent), hints))
    }

    #[test]
    fn hints_name_browser_system_and_model() {
        let hints = ClientHints {
            ua: Some(CHROME),
            mobile: Some("?1"),
            platform: Some(r#""Android""#),
            platform_version: Some(r#""14.0.0""#),
            model: Some(r#""Pixel 8""#),
            viewer_type: None,
        };
        assert_eq!(
            hinted(CHROME_ON_ANDROID, &hints),
            "phone | Android 14 | Chrome | - | Pixel 8 | Chrome on Pixel 8"
        );
    }

    #[test]
    fn hints_win_over_the_user_agent() {
        let hints = ClientHints {
            ua: Some(r#""Brave";v="126", "Chromium";v="126", "Not-A.Brand";v="24""#),
            mobile: Some("?0"),
            platform: Some(r#""Linux""#),
            ..ClientHints::default()
        };
        assert_eq!(
            hinted(CHROME_ON_WINDOWS, &hints),
            "computer | Linux | Brave | - | - | Brave on Linux"
        );
        assert_eq!(
            hinted(SAFARI_ON_IPHONE, &hints),
            "computer | Linux | Brave | - | - | Brave on Linux"
        );
    }

    #[test]
    fn a_hint_of_the_platform_does_not_hide_a_television() {
        let on = |platform| ClientHints {
            ua: Some(r#""Chromium";v="94", " Not A;Brand";v="99""#),
            mobile: Some("?0"),
            platform: Some(platform),
            ..ClientHints::default()
        };
        assert_eq!(
            hinted(LG_TV, &on(r#""Linux""#)),
            "tv | webOS | - | - | LG TV | LG TV"
        );
        assert_eq!(
            hinted(XBOX, &on(r#""Windows""#)),
            "console | - | - | - | Xbox Series X | Xbox Series X"
        );
        assert_eq!(
            hinted(LG_TV, &on(r#""macOS""#)),
            "computer | macOS | Chromium | - | - | Chromium on macOS"
        );
    }

    #[test]
    fn a_hinted_model_identifies_a_television() {
        let hints = ClientHints {
            mobile: Some("?0"),
            platform: Some(r#""Android""#),
            model: Some(r#""AFTKA""#),
            ..ClientHints::default()
        };
        assert_eq!(
            hinted(CHROME_ON_ANDROID, &hints),
            "tv | Fire OS | - | - | AFTKA | Fire TV"
        );
    }

    #[test]
    fn a_version_is_shown_where_people_know_it() {
        let system = |platform, version| {
            let hints = ClientHints {
                platform: Some(platform),
                platform_version: Some(version),
                ..ClientHints::default()
            };
            describe(&ReportedInfo::default(), None, &hints)
                .os
                .unwrap_or_default()
        };
        assert_eq!(system(r#""Windows""#, r#""15.0.0""#), "Windows 11");
        assert_eq!(system(r#""Windows""#, r#""13.0.0""#), "Windows 11");
        assert_eq!(system(r#""Windows""#, r#""10.0.0""#), "Windows 10");
        assert_eq!(system(r#""Windows""#, r#""0.3.0""#), "Windows");
        assert_eq!(system(r#""macOS""#, r#""14.5.0""#), "macOS 14");
        assert_eq!(system(r#""Chrome OS""#, r#""14541.0.0""#), "ChromeOS");
        assert_eq!(system(r#""Linux""#, r#""6.8.0""#), "Linux");
        assert_eq!(system(r#""Android""#, r#""""#), "Android");
        assert_eq!(system(r#""Android""#, r#""99999999999""#), "Android");
    }

    #[test]
    fn a_version_in_the_system_stays_out_of_the_name() {
        let hints = ClientHints {
            ua: Some(CHROME),
            mobile: Some("?0"),
            platform: Some(r#""Windows""#),
            platform_version: Some(r#""15.0.0""#),
            model: Some(r#""""#),
            viewer_type: None,
        };
        assert_eq!(
            hinted(CHROME_ON_WINDOWS, &hints),
            "computer | Windows 11 | Chrome | - | - | Chrome on Windows"
        );
    }

    #[test]
    fn an_android_that_is_not_mobile_is_a_tablet() {
        let hints = ClientHints {
            mobile: Some("?0"),
            platform: Some(r#""Android""#),
            ..ClientHints::default()
        };
        assert_eq!(
            hinted(CHROME_ON_LINUX, &hints),
            "tablet | Android | Chrome | - | - | Chrome on Android"
        );
    }

    #[test]
    fn the_made_up_brand_and_the_order_of_brands_are_ignored() {
        fn browser(ua: &str) -> Option<String> {
            let hints = ClientHints {
                ua: Some(ua),
                ..ClientHints::default()
            };
            describe(&ReportedInfo::default(), None, &hints).browser
        }
        for made_up in [
            "Not/A)Brand",
            "Not_A Brand",
            "(Not(A:Brand",
            " Not A;Brand",
            "Not=A?Brand",
            r#"\\Not\"A;Brand"#,
        ] {
            let ua = format!(r#""{made_up}";v="8", "Chromium";v="126", "Microsoft Edge";v="126""#);
            assert_eq!(browser(&ua).as_deref(), Some("Edge"), "{made_up}");
        }
        assert_eq!(
            browser(r#""Whale";v="4", "Google Chrome";v="126", "Chromium";v="126""#).as_deref(),
            Some("Whale")
        );
        assert_eq!(
            browser(r#""Google Chrome";v="126", "Whale";v="4", "Chromium";v="126""#).as_deref(),
            Some("Whale")
        );
        assert_eq!(
            browser(r#""Yowser";v="2.5", "YaBrowser";v="24.6", "Chromium";v="124""#).as_deref(),
            Some("Yandex Browser")
        );
        assert_eq!(
            browser(r#""Chromium";v="126", "Not A Brand";v="8""#).as_deref(),
            Some("Chromium")
        );
        assert_eq!(browser(r#""Not A Brand";v="8""#), None);
    }

    #[test]
    fn a_browser_that_hides_behind_chromium_is_recognized_by_its_user_agent() {
        let hints = ClientHints {
            ua: Some(r#""Chromium";v="126""#),
            ..ClientHints::default()
        };
        assert_eq!(
            hinted(CHROME_ON_LINUX, &hints),
            "computer | Linux | Chromium | - | - | Chromium on Linux"
        );
        assert_eq!(
            hinted(&format!("{CHROME_ON_LINUX} Vivaldi/6.8"), &hints),
            "computer | Linux | Vivaldi | - | - | Vivaldi on Linux"
        );
    }

    #[test]
    fn a_web_view_is_not_a_browser() {
        let hints = ClientHints {
            ua: Some(r#""Android WebView";v="126", "Chromium";v="126", "Not/A)Brand";v="8""#),
            mobile: Some("?1"),
            platform: Some(r#""Android""#),
            ..ClientHints::default()
        };
        assert_eq!(
            hinted(CHROME_ON_ANDROID, &hints),
            "phone | Android | - | - | - | Android phone"
        );
    }

    #[test]
    fn the_type_that_the_distribution_reports_fills_what_the_device_leaves_open() {
        const BOX: &str = "Mozilla/5.0 (X11; Linux armv7l) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0.4430.225 Safari/537.36";
        let through = |viewer, user_agent: &str| {
            let hints = ClientHints {
                viewer_type: Some(viewer),
                ..ClientHints::default()
            };
            hinted(user_agent, &hints)
        };
        for (viewer, user_agent, expected) in [
            (Tv, BOX, "tv | Linux | - | - | - | TV"),
            (Tv, CHROME_ON_ANDROID, "tv | Android | - | - | - | TV"),
            (
                Tablet,
                CHROME_ON_ANDROID,
                "tablet | Android | Chrome | - | - | Chrome on Android",
            ),
            (
                Computer,
                CHROME_ON_LINUX,
                "computer | Linux | Chrome | - | - | Chrome on Linux",
            ),
            (
                Computer,
                "Mozilla/5.0 (Haiku)",
                "computer | - | - | - | - | Computer",
            ),
            (Computer, "okhttp/4.12.0", UNSEEN),
            (Phone, "okhttp/4.12.0", "phone | - | - | - | - | Phone"),
            (
                Phone,
                SAMSUNG_TV,
                "tv | Tizen | - | - | Samsung TV | Samsung TV",
            ),
        ] {
            assert_eq!(through(viewer, user_agent), expected, "{user_agent}");
        }
        let hints = ClientHints {
            mobile: Some("?0"),
            platform: Some(r#""Android""#),
            viewer_type: Some(Tv),
            ..ClientHints::default()
        };
        assert_eq!(
            hinted(CHROME_ON_ANDROID, &hints),
            "tv | Android | - | - | - | TV"
        );
    }

    #[test]
    fn a_malformed_header_counts_as_not_sent() {
        let long = format!(r#""{}""#, "x".repeat(8192));
        for broken in [
            "",
            "Linux",
            "1",
            r#""Linux"#,
            r#""Linux", "Android""#,
            r#"("Linux")"#,
            "\"Lin\u{fc}x\"",
            "\"Linux\n\"",
            long.as_str(),
        ] {
            let hints = ClientHints {
                ua: None,
                mobile: Some(broken),
                platform: Some(broken),
                platform_version: Some(broken),
                model: Some(broken),
                viewer_type: None,
            };
            assert_eq!(
                hinted(CHROME_ON_WINDOWS, &hints),
                "computer | Windows | Chrome | - | - | Chrome on Windows",
                "{broken}"
            );
        }
        for broken in [
            "",
            r#""Brave"#,
            "Brave;v=",
            r#""Brave","#,
            "?1",
            long.as_str(),
        ] {
            let hints = ClientHints {
                ua: Some(broken),
                ..ClientHints::default()
            };
            assert_eq!(
                hinted(CHROME_ON_WINDOWS, &hints),
                "computer | Windows | Chrome | - | - | Chrome on Windows",
                "{broken}"
            );
        }
    }

    #[test]
    fn each_hint_is_read_from_its_header() {
        let hints = ClientHints::from_headers(|name| match name {
            "sec-ch-ua" => Some("brands"),
            "sec-ch-ua-mobile" => Some("mobile"),
            "sec-ch-ua-platform" => Some("platform"),
            "sec-ch-ua-platform-version" => Some("version"),
            "sec-ch-ua-model" => Some("model"),
            _ => None,
        });
        let expected = ClientHints {
            ua: Some("brands"),
            mobile: Some("mobile"),
            platform: Some("platform"),
            platform_version: Some("version"),
            model: Some("model"),
            viewer_type: None,
        };
        assert_eq!(hints, expected);
    }
}

mod names {
    use super::*;

    fn name(reported: &ReportedInfo, user_agent: &str) -> String {
        describe(reported, Some(user_agent), &ClientHints::default()).name
    }

    #[test]
    fn the_owners_own_name_wins() {
        assert_eq!(name(&named("Work laptop"), CHROME_ON_LINUX), "Work laptop");
        assert_eq!(name(&named("Hotel TV"), SAMSUNG_TV), "Hotel TV");
        assert_eq!(
            name(&named("Anna's iPhone"), SAFARI_ON_IPHONE),
            "Anna's iPhone"
        );
        assert_eq!(name(&named("Kitchen"), CHROME_ON_ANDROID), "Kitchen");
    }

    #[test]
    fn the_owners_own_name_is_followed_by_the_product() {
        assert_eq!(
            name(&named("Living room"), SAMSUNG_TV),
            "Living room · Samsung TV"
        );
        assert_eq!(name(&named("Den"), PLAYSTATION_5), "Den · PlayStation 5");
        let device = reported(
            Some("Living room"),
            Some(Tv),
            Some("Tizen 7.0"),
            Some("QE55Q80C"),
            None,
        );
        assert_eq!(name(&device, "okhttp/4.12.0"), "Living room · Samsung TV");
    }

    #[test]
    fn an_app_is_named_with_its_device() {
        let device =
            |device_type, os, model| reported(None, Some(device_type), os, model, Some("Streamy"));
        assert_eq!(
            name(&device(Phone, Some("iOS 17.5"), Some("iPhone16,2")), ""),
            "Streamy on iPhone"
        );
        assert_eq!(
            name(&device(Phone, Some("iOS 17.5"), None), ""),
            "Streamy on iPhone"
        );
        assert_eq!(
            name(&device(Tablet, Some("iPadOS 17.5"), None), ""),
            "Streamy on iPad"
        );
        assert_eq!(
            name(&device(Phone, Some("Android 14"), Some("Pixel 8")), ""),
            "Streamy on Pixel 8"
        );
        assert_eq!(
            name(&device(Phone, Some("Android 14"), Some("SM-S918B")), ""),
            "Streamy on Android"
        );
        assert_eq!(
            name(&device(Tv, Some("webOS TV 6.0"), None), ""),
            "Streamy on LG TV"
        );
        assert_eq!(
            name(&device(Tv, Some("Android 12"), None), ""),
            "Streamy on Android TV"
        );
        assert_eq!(
            name(&device(Console, None, Some("PS5")), ""),
            "Streamy on PlayStation 5"
        );
        assert_eq!(name(&device(Tv, None, None), ""), "Streamy");
    }

    #[test]
    fn a_device_that_little_is_known_about_is_named_by_its_type() {
        let device = |device_type, os| reported(None, Some(device_type), os, None, None);
        assert_eq!(name(&device(Tv, Some("MyOS 3")), ""), "TV");
        assert_eq!(name(&device(Console, None), ""), "Game console");
        assert_eq!(name(&device(Phone, None), ""), "Phone");
        assert_eq!(
            name(&device(Tablet, Some("Android 14")), ""),
            "Android tablet"
        );
        assert_eq!(
            name(&device(Computer, Some("Windows 11")), ""),
            "Windows computer"
        );
        assert_eq!(name(&device(Other, Some("MyOS 3.1")), ""), "MyOS");
    }
}

mod what_the_device_reports {
    use super::*;

    #[test]
    fn reported_details_win_over_hints_and_user_agent_field_by_field() {
        let hints = ClientHints {
            ua: Some(r#""Chromium";v="126", "Google Chrome";v="126""#),
            mobile: Some("?0"),
            platform: Some(r#""Linux""#),
            platform_version: None,
            model: Some(r#""Pixel 8""#),
            viewer_type: None,
        };
        let device = reported(
            None,
            Some(Tablet),
            Some("MyOS 2"),
            Some("Slate One"),
            Some("Streamy"),
        );
        assert_eq!(
            line(&describe(&device, Some(CHROME_ON_LINUX), &hints)),
            "tablet | MyOS 2 | Chrome | Streamy | Slate One | Streamy on Slate One"
        );
        let device = reported(None, Some(Tablet), None, None, None);
        assert_eq!(
            line(&describe(&device, Some(CHROME_ON_LINUX), &hints)),
            "tablet | Linux | Chrome | - | Pixel 8 | Chrome on Pixel 8"
        );
    }

    #[test]
    fn a_reported_type_overrides_the_user_agent() {
        let device = reported(None, Some(Phone), None, None, None);
        assert_eq!(
            describe(&device, Some(SAMSUNG_TV), &ClientHints::default()).device_type,
            Phone
        );
        assert_ne!(
            describe(&device, Some(SAMSUNG_TV), &ClientHints::default())
                .model
                .as_deref(),
            Some("Samsung TV")
        );
    }

    #[test]
    fn a_reported_system_implies_the_type_when_nothing_else_does() {
        let device = |os| {
            describe(
                &reported(None, None, Some(os), None, None),
                Some("okhttp/4.12.0"),
                &ClientHints::default(),
            )
            .device_type
        };
        assert_eq!(device("Windows 11"), Computer);
        assert_eq!(device("iPadOS 17"), Tablet);
        assert_eq!(device("iOS 17.5"), Phone);
        assert_eq!(device("tvOS 17.5"), Tv);
        assert_eq!(device("Plan 9"), Other);
        let model = |os| reported(None, None, Some(os), Some("Studio 4K Box"), None);
        let of_model = |os| describe(&model(os), None, &ClientHints::default()).device_type;
        assert_eq!(of_model("Windows 11"), Computer);
        assert_eq!(of_model("Android 12"), Tv);
    }

    #[test]
    fn texts_are_trimmed_and_blank_ones_are_dropped() {
        let checked = reported(Some("  Den "), None, Some("   "), Some(""), None).validated();
        assert_eq!(checked, Ok(named("Den")));
    }

    #[test]
    fn a_text_of_the_maximum_length_is_accepted_and_a_longer_one_is_not() {
        let longest = "ü".repeat(ReportedInfo::MAX_CHARS);
        assert!(named(&longest).validated().is_ok());
        let refused = named(&(longest + "x")).validated();
        assert_eq!(
            refused,
            Err(InvalidInfo {
                field: "name",
                problem: InfoProblem::TooLong
            })
        );
    }

    #[test]
    fn spaces_around_a_text_count_towards_its_length() {
        let padded = format!("{}x", " ".repeat(ReportedInfo::MAX_CHARS));
        assert!(named(&padded).validated().is_err());
    }

    #[test]
    fn a_text_without_a_visible_character_is_rejected_and_the_field_is_named() {
        let refused = |reported: ReportedInfo| reported.validated().unwrap_err().to_string();
        for hidden in [
            "\u{3164}",
            "\u{2800}\u{115f}",
            "\u{1160}",
            "\u{ffa0}",
            "\u{200d}",
            "\u{fe0f}",
            "\u{20e3}",
            "\u{200b}\u{e0067}",
            "  \u{202e} ",
            &"\u{301}".repeat(64),
        ] {
            assert_eq!(
                refused(named(hidden)),
                "name has no visible character",
                "{hidden:?}"
            );
            assert_eq!(
                line(&describe(&named(hidden), None, &ClientHints::default())),
                UNSEEN
            );
        }
        let model = reported(None, None, None, Some("\u{3164}"), None);
        assert_eq!(refused(model), "model has no visible character");
    }

    #[test]
    fn a_name_keeps_at_most_four_marks_on_a_character_and_none_on_a_space() {
        let validated = |name: &str| named(name).validated().unwrap().name.unwrap();
        let mountain = format!("e{}T\u{301}V", "\u{301}".repeat(60));
        assert_eq!(
            validated(&mountain),
            format!("e{}T\u{301}V", "\u{301}".repeat(4))
        );
        assert_eq!(validated("\u{301}Den \u{301} TV"), "Den TV");
        assert_eq!(validated("Den\u{3164}\u{2800}TV\u{ad}"), "Den TV");
    }

    #[test]
    fn names_in_every_script_and_emoji_are_kept() {
        for name in [
            "बैठक का टीवी",
            "क्‍ष मोबाइल",
            "ทีวีห้องนั่งเล่น ที่บ้าน",
            "ਟੀਵੀ",
            "வரவேற்பறை",
            "བསྒྲུབས་",
            "שָׁלוֹם",
            "می‌خواهم",
            "Tiếng Việt",
            "e\u{301}a\u{323}\u{302}",
            "한글",
            "👨‍👩‍👧 TV",
            "❤️‍🔥",
            "👩🏽‍🚀",
            "🏳️‍🌈",
            "🏴󠁧󠁢󠁳󠁣󠁴󠁿 TV",
            "🇵🇹",
            "1️⃣",
        ] {
            let validated = named(name).validated().unwrap();
            assert_eq!(validated.name.as_deref(), Some(name));
            let info = describe(&validated, None, &ClientHints::default());
            assert_eq!(info.name, name);
        }
    }

    #[test]
    fn a_control_character_is_rejected_anywhere_and_the_field_is_named() {
        let refusal =
            |reported: ReportedInfo| reported.validated().map_err(|refused| refused.to_string());
        let expected = |field: &str| Err(format!("{field} has a control character"));
        assert_eq!(refusal(named("Den\n")), expected("name"));
        assert_eq!(
            refusal(reported(None, None, Some("\u{0}"), None, None)),
            expected("os")
        );
        assert_eq!(
            refusal(reported(None, None, None, Some("a\tb"), None)),
            expected("model")
        );
        assert_eq!(
            refusal(reported(None, None, None, None, Some("\u{9b}31m"))),
            expected("app")
        );
    }
}

mod hostile_input {
    use super::*;

    fn every_text(info: &DeviceInfo) -> Vec<&str> {
        let device = [&info.os, &info.browser, &info.app, &info.model];
        let device = device.into_iter().flatten().map(String::as_str);
        device.chain([info.name.as_str()]).collect()
    }

    fn assert_safe_to_show(info: &DeviceInfo) {
        for text in every_text(info) {
            assert!(text.chars().count() <= MAX_NAME_CHARS, "{text:?}");
            assert_eq!(text, text.trim());
            let hidden = |character: char| {
                character.is_control()
                    || ('\u{202a}'..='\u{202e}').contains(&character)
                    || ('\u{2066}'..='\u{2069}').contains(&character)
            };
            assert!(!text.contains(hidden), "{text:?}");
        }
    }

    #[test]
    fn marks_that_reorder_or_hide_text_are_removed() {
        let device = reported(
            Some("Den\u{202e}VT gnusmaS\u{202c}"),
            None,
            Some("\u{2066}Linux\u{2069}\u{feff}"),
            Some("Mo\u{0}del\u{1b}[31m"),
            Some("\u{200b}\u{e0041}Streamy\r\n\r\n2"),
        );
        let info = describe(&device, None, &ClientHints::default());
        assert_safe_to_show(&info);
        assert_eq!(info.os.as_deref(), Some("Linux"));
        assert_eq!(info.model.as_deref(), Some("Model[31m"));
        assert_eq!(info.app.as_deref(), Some("Streamy 2"));
    }

    #[test]
    fn a_joined_emoji_stays_whole() {
        let info = describe(&named("👨‍👩‍👧 TV"), Some(SAMSUNG_TV), &ClientHints::default());
        assert_eq!(info.name, "👨‍👩‍👧 TV");
    }

    #[test]
    fn reported_details_that_were_not_validated_are_truncated() {
        let long = "x".repeat(100_000);
        let info = describe(
            &reported(Some(&long), None, Some(&long), Some(&long), Some(&long)),
            None,
            &ClientHints::default(),
        );
        assert_safe_to_show(&info);
        assert_eq!(info.app.map(|app| app.len()), Some(ReportedInfo::MAX_CHARS));
    }

    #[test]
    fn a_model_in_the_user_agent_is_truncated_and_cleaned() {
        let user_agent = format!(
            "Mozilla/5.0 (Linux; Android 9; Mod\u{202e}\u{7}el {}) AppleWebKit/537.36",
            "x".repeat(500)
        );
        let info = describe(
            &ReportedInfo::default(),
            Some(&user_agent),
            &ClientHints::default(),
        );
        assert_safe_to_show(&info);
        assert!(info.model.unwrap().starts_with("Model xxx"));
    }

    #[test]
    fn eight_kilobytes_of_anything_are_parsed_quickly() {
        let eight = |unit: &str| unit.repeat(8192 / unit.len());
        let inputs = [
            eight("A"),
            eight("("),
            eight("Mozilla/5.0 ("),
            eight("Android;"),
            eight("Windows NT 10.0;"),
            eight("rss bot crawler spider watch dog "),
            eight("Chrome/1.1.1.1.1.1"),
            eight("jig browser; "),
            eight("BB10 BlackBerry1/ Version/"),
            eight("Mozilla/5.0 (Mobile; ; ; rv:1.1) Gecko/1 Firefox/"),
            eight("\u{202e}"),
            eight("\u{0}"),
            eight("👩‍👧"),
            eight("\" "),
            eight("a;b=c,"),
            format!("Mozilla/5.0 (Android 9; {}", eight("g(")),
        ];
        // Compiles the parser's expressions, which is not measured below.
        seen("x");
        for input in &inputs {
            let text = Some(input.as_str());
            let hints = ClientHints {
                ua: text,
                mobile: text,
                platform: text,
                platform_version: text,
                model: text,
                viewer_type: None,
            };
            let device = reported(text, None, text, text, text);
            let started = Instant::now();
            assert_safe_to_show(&describe(
                &ReportedInfo::default(),
                text,
                &ClientHints::default(),
            ));
            assert_safe_to_show(&describe(&device, text, &hints));
            assert!(
                started.elapsed() < Duration::from_millis(500),
                "{}",
                &input[..16]
            );
        }
    }

    #[test]
    fn a_damaged_user_agent_is_handled() {
        // A fixed seed, so that a failure can be reproduced.
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut below = |limit: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % limit as u64).unwrap()
        };
        let sources = [
            SAMSUNG_TV,
            LG_TV,
            XBOX,
            SAFARI_ON_IPHONE,
            CHROME_ON_ANDROID,
            SAFARI_ON_MAC,
        ];
        let pieces = [
            "(", ")", ";", "/", " Build/", "Android ", "\u{202e}", "é", "\0", "Chrome/", "wv",
            "\"", "%20", "",
        ];
        for _ in 0..2_000 {
            let mut damaged: Vec<char> = sources[below(sources.len())].chars().collect();
            for _ in 0..=below(6) {
                let from = below(damaged.len() + 1);
                let to = (from + below(9)).min(damaged.len());
                damaged.splice(from..to, pieces[below(pieces.len())].chars());
            }
            let damaged: String = damaged.into_iter().collect();
            let text = Some(damaged.as_str());
            let hints = ClientHints {
                ua: text,
                mobile: text,
                platform: text,
                platform_version: text,
                model: text,
                viewer_type: None,
            };
            assert_safe_to_show(&describe(&ReportedInfo::default(), text, &hints));
        }
    }
}
