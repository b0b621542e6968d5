//! Where the services are.

use url::Url;

/// The same address with another database or virtual host.
pub fn at(url: &Url, name: &str) -> Url {
    let mut url = url.clone();
    url.set_path(&format!("/{name}"));
    url
}
