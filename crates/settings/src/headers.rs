//! `[headers]`: what the backend is told about a request beside what the client said.

use std::net::IpAddr;

use crate::document::Document;
use crate::section::Section;

/// `[headers]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Whose `Forwarded` and `X-Forwarded-*` are believed, and added to.
    pub trusted_proxies: Vec<Network>,
    /// Which fields say where a request came from.
    pub forwarded: Forwarded,
    /// Whether the backend of a metered path gets the caller's credential.
    pub credentials: Credentials,
}

/// Which fields say where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// `X-Forwarded-For`, `-Proto` and `-Host`.
    Usual,
    /// `Forwarded` (RFC 7239).
    Standard,
    /// Both.
    Both,
    /// None.
    Off,
}

/// What becomes of a credential that was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// The backend gets it.
    Pass,
    /// It does not.
    Strip,
}

/// An address, or a network such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

const NETWORKS: &str = "addresses or networks, such as [\"127.0.0.1\", \"10.0.0.0/8\"]";

impl Headers {
    pub(crate) fn read(document: &mut Document) -> Self {
        let mut section = Section::open(document, "headers");
        let mut trusted_proxies = Vec::new();
        for text in section.list("trusted_proxies") {
            match Network::parse(&text) {
                Some(network) => trusted_proxies.push(network),
                None => section.wrong("trusted_proxies", &format!("has \"{text}\""), NETWORKS),
            }
        }
        let fields = [
            ("x-forwarded", Forwarded::Usual),
            ("forwarded", Forwarded::Standard),
            ("both", Forwarded::Both),
            ("off", Forwarded::Off),
        ];
        let read = Self {
            trusted_proxies,
            forwarded: section.choice("forwarded", Forwarded::Both, &fields),
            credentials: section.choice(
                "credentials",
                Credentials::Pass,
                &[("pass", Credentials::Pass), ("strip", Credentials::Strip)],
            ),
        };
        section.close();
        read
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok().filter(|bits| *bits <= most))?;
        Some(Self { address, bits })
    }

    /// Whether the address is in it; one of IPv4 inside IPv6 counts as itself.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.checked_shr(32 - u32::from(self.bits.min(32))).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.checked_shr(128 - u32::from(self.bits.min(128))).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_share_its_bits() {
        for (network, address, inside) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.1", "::ffff:127.0.0.1", true),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
            ("::/0", "::1", true),
        ] {
            assert_eq!(
                Network::parse(network).unwrap().contains(address.parse().unwrap()),
                inside,
                "{network} {address}"
            );
        }
        for wrong in ["", "proxy", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0/8"] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }
}
