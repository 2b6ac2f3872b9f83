//! How many CPUs this machine may ever have: the values in a per-CPU element.
//!
//! The kernel writes that many values to whoever looks an element up, and takes the buffer's length on
//! trust. `/sys/devices/system/cpu/possible` says the number too, but what is mounted there may say
//! another one (lxcfs gives each container its own), and then the kernel would write past the buffer.
//! So the kernel itself is asked, once, with room for more values than any machine has CPUs.

use super::element::Element;
use super::{NewMap, create, kind};
use crate::sys::{Call, Error, Result};
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

/// More than any kernel may have (`CONFIG_NR_CPUS`: 8,192 at most on x86, 4,096 on Arm).
const ROOM: usize = 32_768;

/// Bytes in a value of one CPU.
const VALUE: usize = size_of::<u64>();

/// How many CPUs this machine may ever have: the values in a per-CPU element.
///
/// # Errors
/// EIO if the kernel cannot be asked, and sysfs does not tell.
pub fn possible_cpus() -> Result<usize> {
    static MEASURED: OnceLock<Option<usize>> = OnceLock::new();
    let told = || libbpf_rs::num_possible_cpus();
    match MEASURED.get_or_init(|| measure().ok()) {
        Some(cpus) => Ok(*cpus),
        // Who may make no map may open none with values for each CPU, but by a pin.
        None => told().map_err(|_| Error::new(Call::ReadPossibleCpus, libc::EIO)),
    }
}

/// The number of values that the kernel writes.
fn measure() -> Result<usize> {
    const CALL: Call = Call::MapLookupElem;
    let map = create(&NewMap {
        map_type: kind::PERCPU_ARRAY,
        name: "bpffuse_cpus".to_owned(),
        key_size: 4,
        value_size: VALUE as u32,
        max_entries: 1,
        ..NewMap::default()
    })?;
    // All values of a new map are zeros.
    let mut values = vec![0xff; ROOM * VALUE];
    let lookup = Element::Lookup { key: Some(&[0; 4]), value: &mut values, flags: 0 };
    // SAFETY: the key has the map's 4 bytes, and there is room for more values than there can be.
    match unsafe { lookup.call_kernel(map.as_raw_fd()) } {
        0 => {}
        errno => return Err(Error::new(CALL, errno)),
    }
    match values.chunks_exact(VALUE).take_while(|value| **value == [0; VALUE]).count() {
        0 => Err(Error::new(CALL, libc::EIO)),
        cpus => Ok(cpus),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_writes_as_many_values_as_it_says() {
        match measure() {
            Ok(cpus) => assert_eq!(Some(cpus), libbpf_rs::num_possible_cpus().ok()),
            Err(error) => eprintln!("SKIPPED: no BPF maps can be created here: {error}"),
        }
    }
}
