/// Every migration ever released, oldest first. Append only: a released text is never edited.
let migrations: [String] = [migration001]
