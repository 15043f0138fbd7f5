//! https:// and s3:// over TLS, with a certificate that only `SSL_CERT_FILE` vouches for.

use std::env;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use smog_pipeline::remote::{RemoteOptions, RemoteUrl};
use smog_pipeline::source::{ParquetSource, Source};
use smog_tests::streams::{config, digests, open};
use smog_tests::watch::watched;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::server::{Server, options_at};

/// A reader with the certificates that its environment names: they are read once in a process.
#[test]
#[ignore = "the process that the test of TLS starts"]
#[expect(clippy::disallowed_methods, reason = "how the test tells its process what to do")]
fn child() {
    let variable = |name| env::var(name).ok();
    let (Some(local), Some(store)) = (variable("SMOG_TLS_LOCAL"), variable("SMOG_TLS_STORE"))
    else {
        println!("SKIPPED: it does nothing by itself");
        return;
    };
    let local = ParquetSource::open(Path::new(&local)).expect("it opens");
    let local: Arc<dyn Source> = Arc::new(local);
    let expected = digests(&mut open(&local, &config(), 0), 5);
    let mut s3 = options_at("unused");
    s3.settings[0].1 = format!("https://{store}");
    s3.settings.retain(|(key, _)| key != "aws_allow_http");
    s3.settings.push(("aws_skip_signature".to_owned(), "true".to_owned()));
    let short = std::time::Duration::from_secs(2);
    let web = RemoteOptions { give_up_after: short, ..RemoteOptions::default() };
    let s3 = RemoteOptions { give_up_after: short, ..s3 };
    for (url, options) in
        [(format!("https://{store}/bucket/data/train"), web), ("s3://bucket/data/train".into(), s3)]
    {
        let url = RemoteUrl::parse(&url).expect("a URL");
        match ParquetSource::open_remote(&url, &options) {
            Ok(remote) => {
                let remote: Arc<dyn Source> = Arc::new(remote);
                assert_eq!(digests(&mut open(&remote, &config(), 0), 5), expected, "{url}");
                println!("READ {url}");
            }
            Err(error) => println!("REFUSED {error}"),
        }
    }
}

/// Ends TLS in front of a server; gives its address and the certificate to trust.
async fn terminate(server: SocketAddr) -> (SocketAddr, String) {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let leaf = leaf.signed_by(&key, &issuer).expect("a certificate");
    let chain: Vec<CertificateDer<'static>> = vec![leaf.der().clone()];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
        .expect("settings that fit");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust the certificate closes the connection.
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let Ok(mut server) = TcpStream::connect(server).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, issuer.pem())
}

#[test]
fn data_behind_tls_is_read_where_its_certificate_is_trusted_and_refused_elsewhere() {
    watched(|| {
        let server = Server::start(false);
        server.with_data(60);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let (address, pem) = runtime.block_on(terminate(server.proxy.address));
        let certificate = server.bucket().join("ca.pem");
        std::fs::write(&certificate, pem).expect("it is written");
        let read = |trusted: bool| -> Output {
            let mut command = Command::new(env::current_exe().expect("this program"));
            command
                .args(["--exact", "tls::child", "--ignored", "--nocapture"])
                .env("SMOG_TLS_LOCAL", server.bucket().join("data/train"))
                .env("SMOG_TLS_STORE", format!("localhost:{}", address.port()))
                .env_remove("SSL_CERT_DIR")
                .env_remove("SSL_CERT_FILE");
            if trusted {
                command.env("SSL_CERT_FILE", &certificate);
            }
            command.output().expect("it runs")
        };
        let output = read(true);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(said.matches("READ ").count(), 2, "{said}");
        let output = read(false);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.matches("REFUSED ").count() == 2 && said.contains("certificate"), "{said}");
    });
}
