//! `.help`: what a directory has, each with one line and an example.

use crate::node::{Node, View};

const ROOT: &str = "\
Each pinned map is a directory with one file per key; bpffs directories, programs and links are as
they are in bpffs. What starts with a dot is never listed, and opened by name.

  ls .                    the maps, directories, programs and links
  cat MAP/KEY             look up an element
  echo VALUE > MAP/KEY    set it
  rm MAP/KEY              delete it
  mkdir MAP               a new map by the default spec
  rmdir MAP               unpin an empty map, or an array
  mv MAP NEW              rename the pin
  chmod, chown MAP        who may use it
  cat MAP/.help           what a map has
  cat .errors             why the last operations were refused (root of the mount only)
";

const MAP: &str = "\
One file per key, holding its value as JSON and a newline; a per-CPU value has a line for each CPU.

  ls .                    the keys
  cat KEY                 look up
  echo VALUE > KEY        set, whether the key is there or not (BPF_ANY)
  (set -C; echo V > KEY)  set only if it is not there (BPF_NOEXIST)
  dd conv=nocreat of=KEY  set only if it is there (BPF_EXIST)
  touch KEY               a new element of zeros
  rm KEY                  delete
  cat .info               id, type, sizes, flags, types, pins, as JSON
  cat .raw/HEX            the value's bytes; the key in hex, as ls .raw shows it
";

const RAW: &str = "\
The map's elements as bytes. File names are the keys' bytes in hex, two digits each.

  xxd KEY                 the value's bytes (per CPU: one after the other, each padded to 8)
  cp FILE KEY             set exactly these bytes
  rm KEY                  delete
";

/// The help of a directory.
pub fn render(dir: &Node) -> Vec<u8> {
    let text = match dir {
        Node::Map(_, View::Text) => MAP,
        Node::Map(_, View::Raw) => RAW,
        _ => ROOT,
    };
    text.as_bytes().to_vec()
}
