//! Built-in files are embedded by a macro, of which cargo knows only the files that were there: a new one needs this.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=queries");
}
