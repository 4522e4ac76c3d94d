/** What pages have beside HTML: copy buttons, and times in the reader's own time zone. Everything works without. */
for (const code of document.querySelectorAll("[data-copy]")) {
  const button = document.createElement("button")
  button.type = "button"
  button.className = "button quiet copy"
  button.textContent = "Copy"
  button.addEventListener("click", () => {
    navigator.clipboard.writeText(code.textContent).then(
      () => {
        button.textContent = "Copied"
      },
      () => {
        button.textContent = "Select the text and copy it"
      }
    )
  })
  code.after(button)
}

for (const time of document.querySelectorAll("time[datetime]")) {
  const moment = new Date(time.dateTime)
  if (time.dateTime.includes("T") && !Number.isNaN(moment.getTime())) {
    time.title = time.dateTime
    time.textContent = moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" })
  }
}
