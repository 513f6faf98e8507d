//! Networks: which addresses are one caller, for limits on attempts.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use jiff::SignedDuration;

use crate::attempts::{Budget, CounterKey};

/// The times by which the budget of an IPv6 /48, which may be one customer's or a whole
/// office's, is larger than that of a /64.
const TIMES_OF_48: u16 = 16;

/// The networks that an address is counted in, with the budget of each, narrowest first:
/// the address itself (IPv4), or its /64 and its /48 (IPv6). An unknown address is in the
/// network of all unknown ones.
#[must_use]
pub fn networks_of(ip: Option<IpAddr>, budget: Budget) -> Vec<(CounterKey, Budget)> {
    let key = |network: &[u8]| CounterKey::new("network", &[network]);
    match ip.map(|ip| ip.to_canonical()) {
        None => vec![(key(&[]), budget)],
        Some(IpAddr::V4(ip)) => vec![(key(&ip.octets()), budget)],
        Some(IpAddr::V6(ip)) => vec![
            (key(&ip.octets()[..8]), budget),
            (key(&ip.octets()[..6]), budget.times(TIMES_OF_48)),
        ],
    }
}

/// Returns one of 256 groups of networks, each of very many, so that a log shows no address.
#[must_use]
pub fn group_of(ip: Option<IpAddr>) -> u8 {
    let budget = Budget::new(1, SignedDuration::ZERO);
    let narrowest = networks_of(ip, budget).into_iter().next();
    narrowest.map_or(0, |(key, _)| key.as_bytes()[0])
}

/// Ranges of addresses, such as `203.0.113.0/24, 2001:db8::/32`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkRanges(Vec<(Ipv6Addr, u32)>);

impl NetworkRanges {
    /// Returns whether an address is in one of the ranges.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let bits = mapped(ip).to_bits();
        self.0.iter().any(|(first, length)| {
            let host_bits = u128::BITS - length;
            (bits ^ first.to_bits()).checked_shr(host_bits).unwrap_or(0) == 0
        })
    }
}

/// Returns an IPv4 address as a mapped one (RFC 4291, section 2.5.5.2).
fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

impl FromStr for NetworkRanges {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ranges = text.split(',').map(str::trim);
        let ranges = ranges.filter(|range| !range.is_empty());
        ranges.map(range).collect::<Result<_, _>>().map(Self)
    }
}

fn range(text: &str) -> Result<(Ipv6Addr, u32), InvalidRange> {
    let invalid = || InvalidRange(text.to_owned());
    let (first, length) = text.split_once('/').ok_or_else(invalid)?;
    let first: IpAddr = first.parse().map_err(|_| invalid())?;
    let length: u32 = length.parse().map_err(|_| invalid())?;
    let (most, before) = if first.is_ipv4() { (32, 96) } else { (128, 0) };
    if !(1..=most).contains(&length) {
        return Err(invalid());
    }
    let (first, length) = (mapped(first), length + before);
    let is_start = length == u128::BITS || first.to_bits() << length == 0;
    is_start.then_some((first, length)).ok_or_else(invalid)
}

/// A text that is not a range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a range of addresses, such as 203.0.113.0/24 or 2001:db8::/32, which begins with its first address"
)]
pub struct InvalidRange(String);

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(ip: &str) -> Vec<CounterKey> {
        let budget = Budget::new(30, SignedDuration::from_secs(10));
        let networks = networks_of(ip.parse().ok(), budget);
        assert_eq!(networks[0].1, budget);
        assert!(
            networks
                .get(1)
                .is_none_or(|(_, larger)| *larger == budget.times(16))
        );
        networks.into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn each_ipv4_address_is_a_network_in_each_of_its_forms() {
        assert_eq!(keys("203.0.113.7"), keys("::ffff:203.0.113.7"));
        assert_eq!(keys("203.0.113.7"), keys("::ffff:cb00:7107"));
        assert_ne!(keys("203.0.113.7"), keys("203.0.113.8"));
        assert_eq!(keys("203.0.113.7").len(), 1);
    }

    #[test]
    fn an_ipv6_address_is_in_its_64_and_its_48() {
        let one = keys("2001:db8:1:2::1");
        assert_eq!(one, keys("2001:0DB8:0001:0002:ffff:ffff:ffff:ffff"));
        let beside = keys("2001:db8:1:3::1");
        assert!(one[0] != beside[0] && one[1] == beside[1]);
        assert_ne!(one[1], keys("2001:db8:2:2::1")[1]);
    }

    #[test]
    fn unknown_addresses_are_one_network() {
        assert_eq!(keys("not an address"), keys(""));
    }

    #[test]
    fn a_range_contains_its_addresses_in_every_form() {
        let ranges: NetworkRanges = "203.0.113.0/24, 2001:db8::/32,192.0.2.1/32"
            .parse()
            .unwrap();
        let contains = |ip: &str| ranges.contains(ip.parse().unwrap());
        for inside in [
            "203.0.113.0",
            "203.0.113.255",
            "::ffff:203.0.113.9",
            "2001:db8:ffff::1",
            "192.0.2.1",
        ] {
            assert!(contains(inside), "{inside}");
        }
        for outside in [
            "203.0.114.0",
            "2001:db9::",
            "192.0.2.0",
            "::1",
            "::203.0.113.9",
        ] {
            assert!(!contains(outside), "{outside}");
        }
        assert!(
            !NetworkRanges::from_str(" ")
                .unwrap()
                .contains(IpAddr::from([0; 16]))
        );
    }

    #[test]
    fn a_range_of_another_form_is_refused() {
        for wrong in [
            "1.2.3.4",
            "1.2.3.0/0",
            "1.2.3.0/33",
            "1.2.3.4/24",
            "::/129",
            "2001:db8::1/32",
            "x/8",
            "1.2.3.0/+24/",
        ] {
            assert!(wrong.parse::<NetworkRanges>().is_err(), "{wrong}");
        }
    }
}
