//! Who is trusted at the edge: proxies that say whom they speak for, and origins whose pages may call the API.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use url::Url;

/// The networks of the proxies in front of this deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Whether this is one of them. An IPv4 address must not be given as IPv6.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for TrustedProxies {
    type Err = String;

    /// Networks such as `10.0.0.0/8` and single addresses, with commas between them.
    fn from_str(text: &str) -> Result<Self, String> {
        items(text).map(network).collect::<Result<_, _>>().map(Self)
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = |_| text.parse().map(|address: IpAddr| IpNet::from(address.to_canonical()));
    text.parse().or_else(address).map_err(|_| {
        format!("must be networks such as 10.0.0.0/8 or addresses, with commas between them; \"{text}\" is neither")
    })
}

/// Origins in the form in which browsers send them, with commas between them.
pub(super) fn origins(text: &str) -> Result<Vec<String>, String> {
    items(text).map(origin).collect()
}

fn origin(text: &str) -> Result<String, String> {
    let is_origin = |url: &Url| {
        // A star is a letter like any other to URLs, and would be taken for a pattern by people.
        let bare = !text.contains('*') && url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        bare && url.username().is_empty() && url.password().is_none() && matches!(url.scheme(), "http" | "https")
    };
    match Url::parse(text).ok().filter(is_origin) {
        Some(url) => Ok(url.origin().ascii_serialization()),
        None => Err(format!(
            "must be whole origins such as https://app.example.com, with commas between them and without *; \
             \"{text}\" is none"
        )),
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}
