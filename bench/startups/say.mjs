// Prints the lifetime and the processor time of the process at its end.
process.on("exit", () => {
  const { system, user } = process.cpuUsage()
  process.stdout.write(JSON.stringify({ millis: performance.now(), cpuMillis: (system + user) / 1000 }))
})
