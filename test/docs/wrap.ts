const COLUMNS = 120

/** At the start of a line these begin a list or a heading. */
const MARKER = /^([-+*#>]+|\d+[.)])$/

const wrapLine = (line: string): string => {
  const indent = line.startsWith("- ") ? "  " : ""
  const lines: Array<string> = []
  let current = ""
  for (const word of line.split(" ")) {
    if (current !== "" && current.length + word.length + 1 > COLUMNS && !MARKER.test(word)) {
      lines.push(current)
      current = indent + word
    } else current = current === "" ? word : `${current} ${word}`
  }
  return [...lines, current].join("\n")
}

/** A Markdown page whose prose has at most 120 columns; code, headings and tables stay as they are. */
export const wrap = (page: string): string => {
  let inCode = false
  return page.split("\n").map((line) => {
    if (line.startsWith("```")) inCode = !inCode
    return inCode || line.length <= COLUMNS || /^(```|#|\|)/.test(line) ? line : wrapLine(line)
  }).join("\n")
}
