//! What Aura relies on in a session, whatever role and database set otherwise.

use std::time::Duration;

/// The search path unless the URL's options set one. Whoever writes one writes it otherwise.
pub(super) const DEFAULT_SEARCH_PATH: &str = "public,pg_temp";

/// What a server may not know, or may have set stricter, is set once the session is there.
/// `synchronous_commit` is only ever raised: what is acknowledged must have been written.
pub(super) const BEGIN: &str = "
    SELECT set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout';
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
";

/// The options that a session begins with. The server takes the last one of a name, and these over
/// those of ALTER ROLE and ALTER DATABASE.
pub(super) fn options(given: Option<&str>, statement_timeout: Duration) -> String {
    let timeout = statement_timeout.as_secs();
    let given = given.unwrap_or_default();
    format!(
        "-c search_path={DEFAULT_SEARCH_PATH} {given} \
         -c statement_timeout={timeout}s -c lock_timeout=10s -c idle_in_transaction_session_timeout={timeout}s \
         -c idle_session_timeout=0 \
         -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 -c tcp_user_timeout=30000 \
         -c default_transaction_isolation=read\\ committed -c default_transaction_read_only=off \
         -c default_transaction_deferrable=off -c row_security=on -c exit_on_error=off \
         -c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres -c bytea_output=hex -c extra_float_digits=1 \
         -c standard_conforming_strings=on -c transform_null_equals=off -c client_min_messages=warning -c jit=off"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_urls_own_options_stand_over_the_search_path_and_below_what_aura_relies_on() {
        let options = options(Some("-c search_path=books -c work_mem=64MB"), Duration::from_secs(30));
        let place = |text: &str| options.find(text).unwrap();
        assert!(place("search_path=public") < place("search_path=books"));
        assert!(place("work_mem=64MB") < place("statement_timeout=30s"));
    }
}
