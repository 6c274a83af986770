// Each part by itself, so that one which fails takes no other with it.
for (const start of [startCharts, startTable, startPictures]) {
  try {
    start();
  } catch (error) {
    console.error(error);
    document.querySelector("header").append(el("p", { role: "alert" }, `${start.name} failed: ${error.message}`));
  }
}
