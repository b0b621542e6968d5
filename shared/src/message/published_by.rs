//! Who published a message: as it says, and as the broker vouches.

/// The most characters of a name that is kept.
pub const MAX_NAME: usize = 256;

/// Who published a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishedBy {
    /// The header `aura-actor`: what the publisher says, not a proof.
    pub actor: Option<String>,
    /// The AMQP `user_id`: the broker refuses it from anyone except that user.
    pub user_id: Option<String>,
}

/// Whether a text can be kept as somebody's name: neither empty nor longer than [`MAX_NAME`]
/// characters, and without control characters.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= MAX_NAME && !text.chars().any(char::is_control)
}
