//! Types that a text gives, made ready for maps.

use crate::btf::Btf;
use crate::map::typing::GivenTypes;
use crate::spec::{Typing, fit_name};

/// Where types are from that were written to a map's `.type`, or in the SPEC of one for which the kernel takes
/// none.
pub const TYPED_HERE: &str = ".type";

/// The types of a text.
///
/// # Errors
/// If there are too many.
pub fn of(typing: &Typing, origin: String) -> Result<GivenTypes, String> {
    let made = typing.btf()?;
    let [key_size, value_size, event_size] = made.sizes;
    Ok(GivenTypes {
        name: fit_name(typing.name.as_deref().unwrap_or_default()),
        origin,
        btf: Btf::parse(&made.bytes, None).map_err(|error| error.to_string())?,
        key: made.key,
        value: made.value,
        event: made.event,
        key_size,
        value_size,
        event_size,
    })
}
