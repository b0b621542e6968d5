//! What MongoDB's driver says, without what only its authors can read.

use mongodb::error::{Error, ErrorKind};

/// What stands before the cause that a description of the servers tells, and behind it.
const CAUSE: (&str, &str) = ("Error: Kind: ", ", labels: ");

/// An error of the driver in one line, if it is one.
pub(super) fn plain(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let boxed = || error.downcast_ref::<Box<Error>>().map(AsRef::as_ref);
    error.downcast_ref::<Error>().or_else(boxed).map(in_a_line)
}

/// Where no server could be chosen, it is why the servers are not there, each cause once, instead of a dump of all
/// that the driver knows of them.
fn in_a_line(error: &Error) -> String {
    let ErrorKind::ServerSelection { message, .. } = error.kind.as_ref() else {
        return error.kind.to_string();
    };
    let mut causes: Vec<&str> = message.split(CAUSE.0).skip(1).filter_map(|rest| rest.split(CAUSE.1).next()).collect();
    causes.sort_unstable();
    causes.dedup();
    match causes.as_slice() {
        [] => "no server is there that can take it".to_owned(),
        causes => format!("no server is there that can take it: {}", causes.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use mongodb::{Client, bson::doc, options::ClientOptions};

    use crate::telemetry::chain;

    #[tokio::test]
    async fn a_server_that_is_not_there_is_told_in_a_line() {
        // Nothing listens on the port of a socket that is bound and does not listen.
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let url = format!("mongodb://127.0.0.1:{port}/aura?serverSelectionTimeoutMS=300&directConnection=true");
        let client = Client::with_options(ClientOptions::parse(url).await.unwrap()).unwrap();
        let error = client.database("aura").run_command(doc! {"ping": 1}).await.unwrap_err();
        let boxed = crate::stores::mongo::MongoError::Call { what: "answer", source: Box::new(error.clone()) };
        for told in [chain(&error), chain(&boxed)] {
            assert!(told.contains("Connection refused") && !told.contains(['{', '}']), "{told}");
        }
    }
}
