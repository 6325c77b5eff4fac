//! A minimal HTTPS client for one host: a request and its response. It knows nothing of tasks.
//!
//! The certificate must be one that the system trusts for the host, or the pinned one. Redirects
//! are not followed, so that the credentials are sent to no other host. A proxy of the environment
//! is used, as by curl.

use std::{
    fmt,
    io::{self, Read, Write},
    sync::{Arc, OnceLock},
    time::Duration,
};

use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    StreamOwned,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring as provider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use ureq::{
    Agent, Error, Timeout,
    config::Config,
    unversioned::transport::{
        Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, TcpConnector,
        Transport, TransportAdapter,
    },
};

use super::names::SystemNames;

/// Timeout of setting up a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest response, in bytes; a thousand tasks take a third of a megabyte, five thousand lines of
/// a log some more.
const LONGEST: u64 = 16 << 20;

/// Which certificates are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those that the system trusts for the host.
    System,
    /// Only the certificate with this SHA-256, without further checks of its content.
    Pinned([u8; 32]),
}

/// Why a request has no response.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// The host name cannot be resolved.
    #[error("cannot resolve host {0}: {1}; check the name")]
    NoHost(String, String),
    /// No connection could be opened.
    #[error("cannot reach {0}: {1}; check the address, and that the host is up")]
    Unreached(String, String),
    /// The proxy of the environment failed.
    #[error("cannot reach {0} through the proxy {1} of the environment: {2}")]
    Proxy(String, String, String),
    /// The connection broke.
    #[error("the connection broke off: {0}")]
    Broken(String),
    /// The request timed out.
    #[error("no answer within {} s", .0.as_secs_f32().ceil())]
    TimedOut(Duration),
    /// The connection timed out.
    #[error("cannot reach {0}: no answer within {secs} s; check the address, and that the server is running", secs = .1.as_secs_f32().ceil())]
    Unanswered(String, Duration),
    /// The server on the port does not use TLS.
    #[error("no TLS on this port; check the port")]
    NoTls,
    /// The server closed the connection during the handshake.
    #[error("connection closed during the TLS handshake; check the port")]
    Hasty,
    /// The certificate is not trusted; with the SHA-256 of the certificate.
    #[error("certificate not trusted: {0}")]
    Untrusted(String, [u8; 32]),
    /// The certificate is not the pinned one; with the SHA-256 of the certificate.
    #[error("certificate does not match the pinned fingerprint")]
    OtherCertificate([u8; 32]),
    /// Another error of TLS.
    #[error("TLS: {0}")]
    Tls(String),
    /// The response is not HTTP.
    #[error("not an HTTP answer: {0}")]
    Protocol(String),
    /// The response ended too soon.
    #[error("truncated response")]
    Cut,
    /// The response exceeds the size limit.
    #[error("answer too long: over {} MB", LONGEST >> 20)]
    TooLong,
    /// Any other error.
    #[error("{0}")]
    Other(String),
}

/// A response.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// The status code, 200 on success.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// A client of one host, with one connection that is kept for the next request.
pub struct Client {
    agent: Agent,
    tls: Arc<ClientConfig>,
    base: String,
    authorization: String,
    limit: Duration,
}

impl fmt::Debug for Client {
    /// Leaves out the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base).field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Ends a task.
    Delete,
}

impl Client {
    /// Returns a client of `base`, `https://host:port`, with the value of the `Authorization`
    /// header. `limit` is the timeout of a request.
    ///
    /// # Errors
    /// [`HttpsError`] if the system's certificates cannot be read.
    pub fn new(base: &str, authorization: String, trust: Trust, limit: Duration) -> Result<Client, HttpsError> {
        let tls = tls_config(trust)?;
        let agent = Client::agent(&tls);
        Ok(Client { agent, tls, base: base.to_owned(), authorization, limit })
    }

    /// Returns a client of the same host with its own connection.
    pub fn another(&self) -> Client {
        let (base, authorization) = (self.base.clone(), self.authorization.clone());
        Client { agent: Client::agent(&self.tls), tls: Arc::clone(&self.tls), base, authorization, limit: self.limit }
    }

    /// Changes the timeout of later requests.
    pub fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    fn agent(tls: &Arc<ClientConfig>) -> Agent {
        let config = Config::builder()
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("taskwatcher/", env!("CARGO_PKG_VERSION")))
            .accept("application/json")
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .build();
        let tls = Tls(Arc::clone(tls));
        let connector = ().chain(Through::default()).chain(TcpConnector::default()).chain(tls);
        Agent::with_parts(config, connector, SystemNames::default())
    }

    /// Sends a request for `path`, which begins with a slash.
    ///
    /// # Errors
    /// [`HttpsError`]; a response is `Ok` with any status.
    pub fn ask(&self, method: Method, path: &str) -> Result<HttpAnswer, HttpsError> {
        let url = format!("{}{path}", self.base);
        let request = match method {
            Method::Get => self.agent.get(&url),
            Method::Delete => self.agent.delete(&url),
        };
        let request = request.header("Authorization", &self.authorization).config();
        let request = request.timeout_connect(Some(CONNECT.min(self.limit))).timeout_global(Some(self.limit)).build();
        let mut response = request.call().map_err(|error| self.failed(error))?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        let mut reader = response.body_mut().as_reader().take(LONGEST + 1);
        let read = reader.read_to_end(&mut body).map_err(|error| match error.downcast::<Error>() {
            Ok(error) => self.failed(error),
            Err(error) => self.failed(Error::Io(error)),
        });
        match read {
            // A server that refuses a request may close the connection after the status, which is
            // enough here.
            Err(HttpsError::Cut) if status != 200 => {}
            read => _ = read?,
        }
        match body.len() as u64 > LONGEST {
            true => Err(HttpsError::TooLong),
            false => Ok(HttpAnswer { status, body }),
        }
    }

    /// Returns the error for a failed connection.
    fn unreached(&self, why: String) -> HttpsError {
        HttpsError::Unreached(self.base.clone(), why)
    }

    fn failed(&self, error: Error) -> HttpsError {
        match error {
            Error::HostNotFound => self.unreached("no host of this name".to_owned()),
            Error::ConnectionFailed => self.unreached("the connection failed".to_owned()),
            Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                HttpsError::Unanswered(self.base.clone(), CONNECT.min(self.limit))
            }
            Error::Timeout(_) => HttpsError::TimedOut(self.limit),
            Error::Io(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof => HttpsError::Cut,
                io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::NetworkDown
                | io::ErrorKind::AddrNotAvailable
                | io::ErrorKind::PermissionDenied => self.unreached(plain(&error)),
                _ => match plain(&error).strip_prefix("failed to lookup address information: ") {
                    Some(why) => {
                        let host = self.base.trim_start_matches("https://");
                        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
                        HttpsError::NoHost(host.to_owned(), why.to_owned())
                    }
                    None => HttpsError::Broken(plain(&error)),
                },
            },
            Error::Protocol(error) => HttpsError::Protocol(error.to_string()),
            Error::Other(error) => match error.downcast::<HttpsError>() {
                Ok(error) => *error,
                Err(error) => match error.downcast::<ProxyFailed>() {
                    Ok(failed) => HttpsError::Proxy(self.base.clone(), failed.proxy, failed.why),
                    Err(error) => HttpsError::Other(error.to_string()),
                },
            },
            other => HttpsError::Other(other.to_string()),
        }
    }
}

/// Returns the text of a system error without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or_default().to_owned()
}

/// A failure of the proxy of the environment.
#[derive(Debug, thiserror::Error)]
#[error("{proxy}: {why}")]
struct ProxyFailed {
    proxy: String,
    why: String,
}

/// Connects to the proxy of the environment, if there is one, and names it in errors.
#[derive(Debug, Default)]
struct Through(ConnectProxyConnector);

impl<In: Transport> Connector<In> for Through {
    type Out = <ConnectProxyConnector as Connector<In>>::Out;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        self.0.connect(details, chained).map_err(|error| {
            let why = match error {
                // A timeout is not necessarily the proxy's.
                Error::Timeout(_) => return error,
                Error::ConnectProxyFailed(why) => why,
                Error::Io(error) => plain(&error),
                other => other.to_string(),
            };
            let proxy = details.config.proxy();
            let proxy = proxy.map(|proxy| format!("{}:{}", proxy.host(), proxy.port())).unwrap_or_default();
            Error::Other(Box::new(ProxyFailed { proxy, why }))
        })
    }
}

/// A refused certificate, with its SHA-256.
#[derive(Debug)]
struct Refused {
    why: String,
    pinned: bool,
    shown: [u8; 32],
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Refused {}

fn sha256(der: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, der).as_ref());
    bytes
}

/// Accepts the pinned certificate, or asks the standard verifier. A refusal carries the
/// certificate's SHA-256.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    pinned: Option<[u8; 32]>,
    usual: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = sha256(end_entity);
        let refused = |why: String, pinned| {
            let refused = Refused { why, pinned, shown };
            rustls::Error::InvalidCertificate(CertificateError::Other(rustls::OtherError(Arc::new(refused))))
        };
        match (self.pinned, &self.usual) {
            (Some(pinned), _) if pinned == shown => Ok(ServerCertVerified::assertion()),
            (Some(_), _) | (None, None) => Err(refused("another certificate".to_owned(), true)),
            (None, Some(usual)) => usual
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map_err(|error| refused(reason(&error), false)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn reason(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer => "no authority that the system trusts has signed it".to_owned(),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".to_owned(),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "it is not valid yet".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "it is for another host".to_owned()
            }
            CertificateError::BadEncoding => "it cannot be read".to_owned(),
            CertificateError::Other(other) => match other.to_string().as_str() {
                // The kind of certificate that openssl creates for a self-signed host: adding it to
                // the trusted ones does not help.
                "CaUsedAsEndEntity" => "it is the certificate of an authority, not of a host".to_owned(),
                // The name of a variant in webpki, for which rustls has no text.
                other => format!("it is not one for a host ({other})"),
            },
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

fn tls_config(trust: Trust) -> Result<Arc<ClientConfig>, HttpsError> {
    static SYSTEM: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if trust == Trust::System
        && let Some(config) = SYSTEM.get()
    {
        return Ok(Arc::clone(config));
    }
    let provider = Arc::new(provider::default_provider());
    let (pinned, usual) = match trust {
        Trust::Pinned(pinned) => (Some(pinned), None),
        Trust::System => {
            let found = rustls_native_certs::load_native_certs();
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
                let what = "this system trusts no certificate authorities";
                return Err(HttpsError::Tls(format!(
                    "{what}{why}; install ca-certificates, or pin with --fingerprint"
                )));
            }
            let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
            (None, Some(usual.map_err(|error| HttpsError::Tls(error.to_string()))?))
        }
    };
    let verifier = Verifier { provider: Arc::clone(&provider), pinned, usual };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| HttpsError::Tls(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let config = Arc::new(config);
    if trust == Trust::System {
        return Ok(Arc::clone(SYSTEM.get_or_init(|| config)));
    }
    Ok(config)
}

/// Wraps a connection in TLS.
struct Tls(Arc<ClientConfig>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// The errors that mean a closed connection.
const GONE: [io::ErrorKind; 3] =
    [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];

fn tls_error(error: io::Error) -> Error {
    match error.downcast::<rustls::Error>() {
        Ok(error) => {
            if let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = &error
                && let Some(refused) = other.0.downcast_ref::<Refused>()
            {
                let error = match refused.pinned {
                    true => HttpsError::OtherCertificate(refused.shown),
                    false => HttpsError::Untrusted(refused.why.clone(), refused.shown),
                };
                return Error::Other(Box::new(error));
            }
            Error::Other(Box::new(match error {
                rustls::Error::InvalidMessage(_) => HttpsError::NoTls,
                error => HttpsError::Tls(error.to_string()),
            }))
        }
        // An error of ureq's own transport passes through rustls as an I/O error.
        Err(error) => match error.downcast::<Error>() {
            Ok(error) => error,
            Err(error) => Error::Io(error),
        },
    }
}

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, TlsTransport>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else { return Err(Error::ConnectionFailed) };
        // The connection to a proxy of the environment.
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(host.to_owned()).map_err(|error| {
            let error = HttpsError::Tls(error.to_string());
            Error::Other(Box::new(error))
        })?;
        let mut tls =
            ClientConnection::new(Arc::clone(&self.0), name).map_err(|error| tls_error(io::Error::other(error)))?;
        let mut socket = TransportAdapter::new(Box::new(transport) as Box<dyn Transport>, details.current_time.clone());
        socket.set_timeout(details.timeout);
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).map_err(|error| match tls_error(error) {
                Error::Io(error) if GONE.contains(&error.kind()) => Error::Other(Box::new(HttpsError::Hasty)),
                other => other,
            })?;
        }
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { buffers, stream: StreamOwned::new(tls, socket) })))
    }
}

struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.sock.set_timeout(timeout);
        let sent = self.stream.write_all(&self.buffers.output()[..amount]).and_then(|()| self.stream.flush());
        sent.map_err(tls_error)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.sock.set_timeout(timeout);
        let count = self.stream.read(self.buffers.input_append_buf()).map_err(tls_error)?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_never_shows_what_authorizes_it() {
        let secret = "PVEAPIToken=root@pam!a=s3cret".to_owned();
        let client = Client::new("https://pve:8006", secret, Trust::Pinned([7; 32]), CONNECT).unwrap();
        let shown = format!("{client:?} {client:#?}");
        assert!(shown.contains("https://pve:8006") && !shown.contains("s3cret"), "{shown}");
    }
}
