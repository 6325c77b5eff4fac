//! Access to the API of a Proxmox host: its address, a token, and its certificate.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest name of a token, characters.
const TOKEN: usize = 256;

/// The product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// Proxmox VE.
    Pve,
    /// Proxmox Backup Server.
    Pbs,
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Product::Pve => "Proxmox VE",
            Product::Pbs => "Proxmox Backup Server",
        })
    }
}

impl Product {
    /// Default port.
    pub fn port(self) -> u16 {
        match self {
            Product::Pve => 8006,
            Product::Pbs => 8007,
        }
    }

    /// Returns the value of the `Authorization` header.
    pub fn authorization(self, token: &Token, secret: &str) -> String {
        match self {
            Product::Pve => format!("PVEAPIToken={token}={secret}"),
            Product::Pbs => format!("PBSAPIToken={token}:{secret}"),
        }
    }

    /// Returns the node, unless the product may be a cluster.
    pub fn only_node(self) -> Option<&'static str> {
        match self {
            Product::Pve => None,
            Product::Pbs => Some("localhost"),
        }
    }
}

/// Access to an API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Api {
    /// `https://host:port`.
    pub url: Url,
    /// The API token.
    pub token: Token,
    /// File with the secret of the token. The secret is stored nowhere else.
    pub secret_file: String,
    /// The only accepted certificate; `None`: any that the system trusts.
    pub fingerprint: Option<Fingerprint>,
}

/// A text that is not the address of an API.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the address of a Proxmox host: expected https://HOST, https://HOST:PORT or https://[IPV6-ADDRESS]:PORT")]
pub struct BadUrl;

/// `https://host[:port]`, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Url(String);

impl FromStr for Url {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Url, BadUrl> {
        let authority = text.strip_prefix("https://").ok_or(BadUrl)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']').ok_or(BadUrl)?;
                address.parse::<core::net::Ipv6Addr>().map_err(|_| BadUrl)?;
                ("[", if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(BadUrl)?) })
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let named = host == "[" || (!host.is_empty() && host.len() <= 253 && host.chars().all(is_name));
        let ported = port.is_none_or(|port| {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        match named && ported {
            true => Ok(Url(format!("https://{authority}"))),
            false => Err(BadUrl),
        }
    }
}

impl Url {
    /// Adds the default port of the product, if the URL has none.
    pub fn with_port(self, product: Product) -> Url {
        let authority = self.0.trim_start_matches("https://");
        let has_port = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest).contains(':');
        match has_port {
            true => self,
            false => Url(format!("{}:{}", self.0, product.port())),
        }
    }
}

impl TryFrom<String> for Url {
    type Error = BadUrl;

    fn try_from(text: String) -> Result<Url, BadUrl> {
        text.parse()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is not the name of a token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an API token id: expected USER@REALM!NAME, without the secret")]
pub struct BadToken;

/// The name of an API token, `user@realm!name`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Token(String);

impl FromStr for Token {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Token, BadToken> {
        let (user, name) = text.split_once('!').ok_or(BadToken)?;
        let (login, realm) = user.rsplit_once('@').ok_or(BadToken)?;
        let is_word = |word: &str| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        };
        // Only characters valid in an HTTP header, without the separators before the secret.
        let is_login =
            !login.is_empty() && login.chars().all(|c| c.is_ascii_graphic() && !matches!(c, ':' | '=' | '/'));
        match is_login && is_word(realm) && is_word(name) && text.len() <= TOKEN {
            true => Ok(Token(text.to_owned())),
            false => Err(BadToken),
        }
    }
}

impl TryFrom<String> for Token {
    type Error = BadToken;

    fn try_from(text: String) -> Result<Token, BadToken> {
        text.parse()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is not a fingerprint.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 fingerprint: expected 64 hexadecimal digits, optionally in pairs separated by colons")]
pub struct BadFingerprint;

/// The SHA-256 of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(pub [u8; 32]);

impl FromStr for Fingerprint {
    type Err = BadFingerprint;

    fn from_str(text: &str) -> Result<Fingerprint, BadFingerprint> {
        let pairs: Vec<&str> = match text.contains(':') {
            true => text.split(':').collect(),
            false if text.is_ascii() => {
                (0..text.len()).step_by(2).map(|at| &text[at..text.len().min(at + 2)]).collect()
            }
            false => return Err(BadFingerprint),
        };
        let byte = |pair: &str| match pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            true => u8::from_str_radix(pair, 16).map_err(|_| BadFingerprint),
            false => Err(BadFingerprint),
        };
        let bytes = pairs.into_iter().map(byte).collect::<Result<Vec<u8>, _>>()?;
        bytes.try_into().map(Fingerprint).map_err(|_| BadFingerprint)
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = BadFingerprint;

    fn try_from(text: String) -> Result<Fingerprint, BadFingerprint> {
        text.parse()
    }
}

impl fmt::Display for Fingerprint {
    /// Formats as Proxmox and openssl do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let colon = if at > 0 { ":" } else { "" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

/// Whether a text can be the secret of a token, which becomes part of a header.
pub fn is_secret(text: &str) -> bool {
    !text.is_empty() && text.len() <= 512 && text.chars().all(|c| c.is_ascii_graphic())
}

impl From<Url> for String {
    fn from(url: Url) -> String {
        url.0
    }
}

impl From<Token> for String {
    fn from(token: Token) -> String {
        token.0
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_without_a_path() {
        let url = |text: &str, product| text.parse::<Url>().map(|url| url.with_port(product).to_string());
        assert_eq!(url("https://pve.example.org", Product::Pve).unwrap(), "https://pve.example.org:8006");
        assert_eq!(url("https://10.0.0.1/", Product::Pbs).unwrap(), "https://10.0.0.1:8007");
        assert_eq!(url("https://pve:443", Product::Pve).unwrap(), "https://pve:443");
        assert_eq!(url("https://[fe80::1]", Product::Pve).unwrap(), "https://[fe80::1]:8006");
        assert_eq!(url("https://[::1]:9", Product::Pve).unwrap(), "https://[::1]:9");
        for text in [
            "",
            "pve",
            "http://pve",
            "https://",
            "https://u:p@pve",
            "https://pve/api2",
            "https://pve:0",
            "https://pve:+1",
            "https://pve:99999",
            "https://pve:",
            "https://p ve",
            "https://pve?x",
            "https://[pve]",
            "https://[::1]x",
            "https://ä",
        ] {
            assert_eq!(url(text, Product::Pve), Err(BadUrl), "{text}");
        }
    }

    #[test]
    fn tokens_and_fingerprints_are_parsed() {
        let token: Token = "root@pam!watch".parse().unwrap();
        assert_eq!(Product::Pve.authorization(&token, "s"), "PVEAPIToken=root@pam!watch=s");
        assert_eq!(Product::Pbs.authorization(&token, "s"), "PBSAPIToken=root@pam!watch:s");
        for text in [
            "",
            "root@pam",
            "root!a",
            "root@pam!",
            "@pam!a",
            "root@pam!a=secret",
            "root@pam!a:secret",
            "a b@pam!a",
            "r\n@pam!a",
        ] {
            assert_eq!(text.parse::<Token>(), Err(BadToken), "{text}");
        }
        let plain = "0123456789abcdef".repeat(4);
        let print: Fingerprint = plain.parse().unwrap();
        assert_eq!(print.to_string().len(), 95);
        assert_eq!(print.to_string().parse::<Fingerprint>().unwrap(), print);
        for text in
            ["", "00", &plain[1..], &format!("{plain}00"), &plain.replace('0', "g"), &"ä".repeat(32), &"+1".repeat(32)]
        {
            assert_eq!(text.parse::<Fingerprint>(), Err(BadFingerprint), "{text}");
        }
    }
}
