//! What Aura relies on in a session, whatever role and database set otherwise.

use std::time::Duration;

use deadpool_postgres::HookError;
use tokio_postgres::Client;

use super::{error::PostgresError, is_true, pooler::DROPPED};

/// The search path unless the URL's options set one. Whoever writes one writes it otherwise.
pub(super) const DEFAULT_SEARCH_PATH: &str = "public,pg_temp";

/// What a server may not know, or may have set stricter, is set once the session is there.
/// `synchronous_commit` is only ever raised: what is acknowledged must have been written.
const BEGIN: &str = "
    SELECT set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout';
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
";
/// A setting of no meaning to the server, which is `on` where the options have reached it.
const MARK: &str = "aura.session";
const IS_STANDBY: &str = "SELECT pg_catalog.pg_is_in_recovery()";
/// Whether the options that the session was asked for have reached it: PgBouncer can be told to leave them out.
const HAS_OPTIONS: &str = "SELECT current_setting('aura.session', true) = 'on'";

/// What a session is set to, in this order.
#[derive(Debug, Clone)]
pub(super) struct Session {
    given: String,
    settings: Vec<(&'static str, String)>,
    must_write: bool,
}

impl Session {
    /// A session with the options of a URL, which stand over the search path and below all else.
    pub(super) fn new(given: Option<&str>, statement_timeout: Duration, must_write: bool) -> Self {
        let timeout = format!("{}s", statement_timeout.as_secs());
        let settings = [
            (MARK, "on"),
            ("statement_timeout", &timeout),
            ("lock_timeout", "10s"),
            ("idle_in_transaction_session_timeout", &timeout),
            ("idle_session_timeout", "0"),
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "3"),
            ("tcp_user_timeout", "30000"),
            ("default_transaction_isolation", "read committed"),
            ("default_transaction_read_only", "off"),
            ("default_transaction_deferrable", "off"),
            ("row_security", "on"),
            ("exit_on_error", "off"),
            ("timezone", "UTC"),
            ("datestyle", "ISO"),
            ("intervalstyle", "postgres"),
            ("bytea_output", "hex"),
            ("extra_float_digits", "1"),
            ("standard_conforming_strings", "on"),
            ("transform_null_equals", "off"),
            ("client_min_messages", "warning"),
            ("jit", "off"),
        ];
        let settings = settings.map(|(name, value)| (name, value.to_owned())).to_vec();
        Self { given: given.unwrap_or_default().to_owned(), settings, must_write }
    }

    /// The options that a session begins with. The server takes the last one of a name, and these over
    /// those of ALTER ROLE and ALTER DATABASE.
    pub(super) fn options(&self) -> String {
        let ours = self.settings.iter().map(|(name, value)| format!(" -c {name}={}", value.replace(' ', "\\ ")));
        format!("-c search_path={DEFAULT_SEARCH_PATH} {}{}", self.given, ours.collect::<String>())
    }

    /// Begins a session: what it was asked for and did not get is set now.
    ///
    /// # Errors
    /// If PostgreSQL fails, or is a standby and must take writes.
    pub(super) async fn begin(&self, client: &Client) -> Result<(), HookError> {
        let begun = async {
            if self.must_write && is_true(&client.simple_query(IS_STANDBY).await?) {
                return Ok(false);
            }
            if !is_true(&client.simple_query(HAS_OPTIONS).await?) {
                client.batch_execute(&self.statements()).await?;
            }
            client.batch_execute(BEGIN).await?;
            Ok(true)
        };
        match begun.await.map_err(HookError::Backend)? {
            true => Ok(()),
            false => Err(HookError::message(PostgresError::Standby.to_string())),
        }
    }

    /// The same settings as statements, which say that they had to be.
    fn statements(&self) -> String {
        let mut all = vec![("search_path".to_owned(), DEFAULT_SEARCH_PATH.to_owned())];
        all.extend(parse(&self.given));
        all.extend(self.settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        all.push((MARK.to_owned(), DROPPED.to_owned()));
        let quoted = |text: &str| text.replace('\'', "''");
        all.iter()
            .map(|(name, value)| format!("SELECT set_config('{}', '{}', false);", quoted(name), quoted(value)))
            .collect()
    }
}

/// The settings in options such as `-c search_path=books --work_mem=64MB`, in which a backslash keeps what follows it.
fn parse(options: &str) -> Vec<(String, String)> {
    let (mut words, mut word, mut characters) = (Vec::new(), None::<String>, options.chars());
    while let Some(character) = characters.next() {
        match character {
            '\\' => word.get_or_insert_default().extend(characters.next()),
            space if space.is_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    let (mut settings, mut words) = (Vec::new(), words.into_iter());
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("-c").or_else(|| word.strip_prefix("--")) {
            Some("") => words.next(),
            Some(setting) => Some(setting.to_owned()),
            None => None,
        };
        let setting = setting.as_deref().and_then(|setting| setting.split_once('='));
        settings.extend(setting.map(|(name, value)| (name.replace('-', "_"), value.to_owned())));
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_urls_own_options_stand_over_the_search_path_and_below_what_aura_relies_on() {
        let session = Session::new(Some("-c search_path=books -c work_mem=64MB"), Duration::from_secs(30), true);
        for all in [session.options(), session.statements().replace("', '", "=")] {
            let place = |text: &str| all.find(text).unwrap();
            assert!(place("search_path=public") < place("search_path=books"));
            assert!(place("work_mem=64MB") < place("statement_timeout=30s"));
        }
        assert!(session.options().contains("-c default_transaction_isolation=read\\ committed "));
    }

    #[test]
    fn options_are_read_as_the_server_reads_them() {
        let read = parse(r"-c search_path=a,b -cwork_mem=64MB --lock-timeout=3s  -c a.b=it's\ one -x -c");
        let pairs: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let wanted = [("search_path", "a,b"), ("work_mem", "64MB"), ("lock_timeout", "3s"), ("a.b", "it's one")];
        assert_eq!(pairs, wanted);
        let session = Session::new(Some(r"-c a.b=it's"), Duration::from_secs(1), true);
        assert!(session.statements().contains("set_config('a.b', 'it''s', false)"));
    }
}
