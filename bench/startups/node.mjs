// As little as can be: what Node takes by itself.
process.exitCode = 0
