//! Has the linker leave the module as it is: `crates/test-guests` makes the component, with a tool that knows imports by labels.

fn main() {
    println!("cargo:rustc-link-arg=--skip-wit-component");
}
