/// The version of this program; CHANGELOG.md tells what each brought.
let liaisonVersion = "0.1.0"
