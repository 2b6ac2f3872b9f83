//! Asking the kernel for a map.

use super::plan::{self, MapPlan};
use super::{Inner, Part, Spec, Typing, kernel_types};
use crate::sys::map::NewMap;
use crate::sys::map::kind::{self, BtfUse, Content, MapKind};
use crate::sys::os::page_size;
use crate::sys::{self, Call, object};
use std::os::fd::{AsFd, OwnedFd};

/// A map that was created.
#[derive(Debug)]
pub struct Created {
    /// The map, not pinned yet.
    pub fd: OwnedFd,
    /// What differs from what the text asked for, such as that the kernel takes no BTF for this
    /// kind: a sentence.
    pub note: Option<String>,
    /// The types that the kernel did not take, where values are of types.
    pub types: Option<Typing>,
}

/// Why a map was not created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateError {
    /// The kernel's errno, or EINVAL for what was refused before asking it.
    pub errno: i32,
    /// The reason in words.
    pub reason: String,
}

impl std::fmt::Display for CreateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for CreateError {}

pub(super) fn invalid(reason: impl Into<String>) -> CreateError {
    CreateError { errno: libc::EINVAL, reason: reason.into() }
}

/// Bytes in the kernel's name of a map at most (BPF_OBJ_NAME_LEN less its NUL).
const MAX_NAME: usize = 15;

/// `name` as the kernel takes it: at most 15 characters of `[A-Za-z0-9_.]`, others as `_`.
pub fn fit_name(name: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.') { c } else { '_' };
    name.chars().map(fit).take(MAX_NAME).collect()
}

impl Spec {
    /// Creates the map. `name` is its pin's file name, which the kernel's name is made of unless
    /// the text asks for another; `resolve` opens the inner map that a path or id means.
    ///
    /// # Errors
    /// EINVAL if the kind cannot have what is asked for; the kernel's errno; what `resolve` gives.
    pub fn create(
        &self,
        name: &str,
        resolve: &dyn Fn(&Inner) -> Result<OwnedFd, CreateError>,
    ) -> Result<Created, CreateError> {
        let plan = plan::plan(self).map_err(invalid)?;
        let inner = match &self.inner {
            None => None,
            Some(Inner::Definition(spec)) => {
                let inner = spec.create(name, resolve).map_err(|mut error| {
                    error.reason = format!("in the inner map: {}", error.reason);
                    error
                })?;
                Some(inner.fd)
            }
            Some(inner) => Some(resolve(inner)?),
        };
        let (vmlinux_type, value_size) = match plan.value_size {
            Some(size) => (0, size),
            None => kernel_types::find(plan::kernel_type(self).map_err(invalid)?)?,
        };
        let new = NewMap {
            map_type: self.kind,
            name: fit_name(self.name.as_deref().unwrap_or(name)),
            key_size: plan.key_size,
            value_size,
            max_entries: self.entries(&plan)?,
            flags: plan.flags,
            map_extra: self.map_extra,
            numa_node: self.numa_node.unwrap_or(0),
            ifindex: self.ifindex,
            excl_prog_hash: self.excl_prog_hash,
            btf_vmlinux_value_type_id: vmlinux_type,
            inner_map: inner.as_ref().map(|fd| fd.as_fd()),
            btf: None,
        };
        if plan.typed || MapKind::of(self.kind).btf == BtfUse::Needed {
            return self.create_typed(&new, &plan);
        }
        let fd =
            sys::map::create(&new).map_err(|error| self.explain(error, &plan, new.inner_map))?;
        Ok(Created { fd, note: self.note.clone(), types: None })
    }

    /// Creates with BTF, or where the kernel takes none for this kind, without.
    fn create_typed(&self, new: &NewMap<'_>, plan: &MapPlan) -> Result<Created, CreateError> {
        let blob = self.btf().map_err(invalid)?;
        let special = match self.value {
            Part::Type(value) => self.types.has_kernel_field(value),
            _ => false,
        };
        // Without its BTF such a value would be plain bytes: no lock, no timer.
        let must = MapKind::of(self.kind).btf == BtfUse::Needed || special;
        let refused = match object::btf_load(&blob.bytes) {
            Ok(fd) => {
                let btf = Some((fd.as_fd(), blob.key, blob.value));
                match sys::map::create(&NewMap { btf, name: new.name.clone(), ..*new }) {
                    Ok(fd) => return Ok(Created { fd, note: self.note.clone(), types: None }),
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        if must || !matches!(refused.errno, libc::EINVAL | libc::EOPNOTSUPP) {
            return Err(self.explain(refused, plan, new.inner_map));
        }
        let fd = sys::map::create(new).map_err(|error| self.explain(error, plan, new.inner_map))?;
        let kind = kind::with_article(self.kind);
        let untyped = match (refused.call, refused.errno) {
            (Call::BtfLoad, _) => {
                format!("created without BTF: the kernel does not load these types ({refused})")
            }
            (_, libc::EOPNOTSUPP) => {
                format!("created without BTF: the kernel takes none for {kind}")
            }
            _ => format!("created without BTF: the kernel does not take these types for {kind}"),
        };
        let note = self.note.iter().cloned().chain([untyped]).collect::<Vec<_>>().join("; ");
        let has_types = MapKind::of(self.kind).content == Content::Data;
        let types = has_types.then(|| Typing::of_spec(self));
        Ok(Created { fd, note: Some(note), types })
    }

    /// max_entries, with what depends on this machine.
    fn entries(&self, plan: &MapPlan) -> Result<u32, CreateError> {
        match plan.max_entries {
            None => {
                let cpus =
                    sys::map::possible_cpus().map_err(|error| self.explain(error, plan, None))?;
                u32::try_from(cpus).map_err(|_| invalid("there are too many CPUs"))
            }
            Some(bytes) if plan.bytes => {
                let page = page_size() as u32;
                let too_large = || invalid(format!("{bytes} bytes are too many for a ring buffer"));
                let pages = bytes.div_ceil(page).checked_next_power_of_two();
                pages.and_then(|pages| pages.checked_mul(page)).ok_or_else(too_large)
            }
            Some(n) => Ok(n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_fit() {
        assert_eq!(fit_name("packets"), "packets");
        assert_eq!(fit_name("my map-of.things"), "my_map_of.thing");
        assert_eq!(fit_name("größe/x"), "gr__e_x");
    }
}
