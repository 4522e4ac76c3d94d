// Says at the end how long the process has lived and how much processor time it took.
process.on("exit", () => {
  const { system, user } = process.cpuUsage()
  process.stdout.write(JSON.stringify({ millis: performance.now(), cpuMillis: (system + user) / 1000 }))
})
