//! A cell in the binary form that PostgreSQL sends.

use std::error::Error;

use tokio_postgres::types::{FromSql, Type};

/// A cell as PostgreSQL sends it.
pub(crate) struct Raw<'a>(pub(crate) &'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
