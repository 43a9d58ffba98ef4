"""The words of the report, English and Chinese side by side; what stands in braces is filled from runs."""

LANGUAGES = ("en", "zh")

WORDS = {
    "title": ("Sentiment of paired tweet text and image", "图文推文情感分类实验报告"),
    "name": ("Name", "姓名"),
    "number": ("Student number", "学号"),
    "date": ("Built on", "生成日期"),
    "contents": ("Contents", "目录"),
    "figure": ("Figure", "图"),
    "table": ("Table", "表"),
    "aim": ("Aim", "实验任务"),
    "data": ("Data and its health", "数据及其质量"),
    "method": ("Method", "方法"),
    "environment": ("Environment", "环境"),
    "training": ("Training", "训练过程"),
    "results": ("Results", "实验结果"),
    "ablation": ("Ablation and controls", "消融与对照"),
    "errors": ("Error analysis", "错误分析"),
    "prediction": ("Prediction file", "预测文件"),
    "others": ("Beside the coursework and the literature", "与原课程报告及文献的比较"),
    "conclusions": ("Conclusions", "结论"),
    "limits": ("Limits", "局限"),
    "provenance": ("Where each number comes from", "数据来源"),
    "missing": ("What is missing", "缺失内容"),
    # the course's five headings
    "one": ("", "一、目的"),
    "two": ("", "二、内容与设计思想"),
    "three": ("", "三、使用环境"),
    "four": ("", "四、实验过程"),
    "five": ("", "五、总结"),
    "aim.text": (
        "Each pair is a short text and an image. Its sentiment is to be predicted: positive, neutral or negative. The "
        "questions are whether a model that sees both sides knows more than one that sees either, and whether the data "
        "can tell.",
        "每个样本由一段短文本和一张图片组成，需预测其情感：positive、neutral 或 negative。要回答的问题是：同时看到两种模态的模型是否比"
        "只看到一种模态的模型更好，以及现有数据能否区分这种差别。",
    ),
    "data.caption": ("The course folder as it was found.", "课程数据的检查结果。"),
    "data.balance": (
        "Labels of the {n} labelled pairs, and of the answers for the {n_test} pairs to predict.",
        "{n} 个有标签样本的标签分布，以及 {n_test} 个待预测样本的答案分布。",
    ),
    "data.twins": (
        "Twins are pairs with the same or nearly the same text or image. A random split would leave {leak} of its dev rows "
        "with a twin in train; the folds used here leave none.",
        "孪生样本是文本或图片相同或几乎相同的样本。随机划分会使 {leak} 的验证样本在训练集中有孪生样本；本实验的划分没有这种情况。",
    ),
    "method.text": (
        "A text encoder ({text}) and an image encoder ({image}) turn a pair into vectors. The text head sees only the "
        "text, the image head only the image, and the joint head what the fusion ({fusion}) makes of both; one forward "
        "pass gives all three. Every labelled pair is predicted by models that saw neither it nor a twin of it "
        "({folds}, {seeds} per fold, averaged).",
        "文本编码器（{text}）和图像编码器（{image}）把样本变成向量。文本头只看文本，图像头只看图片，联合头使用融合（{fusion}）的结果；"
        "一次前向计算同时给出三者。每个有标签样本都由未见过它及其孪生样本的模型预测（{folds}，每折 {seeds}，取平均）。",
    ),
    "method.folds": ("{n} folds", "{n} 折"),
    "method.split": ("trained on train, scored on dev", "在 train 上训练、在 dev 上评分"),
    "method.models": ("{n} models", "{n} 个模型"),
    "method.figure": (
        "The model of the main run, drawn from the model itself: an arrow is where a disturbed output moves the next. B: "
        "pairs in a batch.",
        "主实验的模型结构，由模型对象本身绘制：箭头表示扰动上游输出会改变下游输出。B：批中的样本数。",
    ),
    "method.loss": (
        "The loss is the sum of the cross-entropies of the three heads, with label smoothing {smoothing}:",
        "损失是三个头的交叉熵之和，标签平滑为 {smoothing}：",
    ),
    "method.interval": (
        "Intervals are 95 % bootstrap intervals over twin groups; differences are paired, that is, drawn from the same "
        "groups for both models:",
        "区间为按孪生组重采样的 95 % 自助法区间；差异是配对的，即两个模型使用同一批重采样的组：",
    ),
    "environment.caption": ("What the main run was made with.", "主实验所用的环境。"),
    "training.main": (
        "Loss of each model of the main run by epoch; the small dark stars are the epochs whose weights were kept.",
        "主实验各模型的损失曲线；星号为保留权重的轮次。",
    ),
    "training.text": (
        "The main run took {seconds:.0f} s for {models} models; kept epochs lie between {first} and {last} of at most "
        "{epochs}.",
        "主实验共训练 {models} 个模型，用时 {seconds:.0f} 秒；保留的轮次在 {first} 到 {last} 之间（上限 {epochs}）。",
    ),
    "training.grid": (
        "The cells of the grid on the same axes: train loss (dashed) and dev loss, with the kept epoch.",
        "网格搜索各单元的训练损失（虚线）与验证损失及其保留轮次。",
    ),
    "training.cells": (
        "The cells of the grid, each one model scored on dev.",
        "网格搜索的单元，每个单元一个模型，在 dev 上评分。",
    ),
    "training.more": (
        "Of {all} cells the {shown} with the highest accuracy are shown; all are in grid/grid.csv.",
        "共 {all} 个单元，表中为准确率最高的 {shown} 个；全部见 grid/grid.csv。",
    ),
    "training.chosen": (
        "Choosing flatters: the highest cell scores {dev} on dev (n = {n_dev}); cross-fitted, the same setting scores "
        "{honest} (n = {n}). {same} of the other {others} cells of that grid cannot be told apart from it.",
        "选择会带来乐观偏差：最高单元在 dev 上为 {dev}（n = {n_dev}）；同一设置交叉拟合后为 {honest}（n = {n}）。该网格其余 {others} "
        "个单元中有 {same} 个与它无法区分。",
    ),
    "training.nogrid": (
        "No grid has been run in this results folder. To run one: {command}",
        "此结果目录中没有网格搜索。运行方法：{command}",
    ),
    "results.figure": (
        "Accuracy out of fold with 95 % intervals; the dashed line is always answering the most frequent label.",
        "交叉拟合准确率及 95 % 区间；虚线为总是回答最常见标签的准确率。",
    ),
    "results.table": ("Scores with 95 % intervals. n: pairs scored.", "得分及 95 % 区间。n：评分样本数。"),
    "results.paired": (
        "Paired differences in accuracy. A hollow dot is a difference whose interval includes 0.",
        "准确率的配对差异。空心点表示区间包含 0。",
    ),
    "results.differences": (
        "Paired differences in accuracy, in percentage points, with 95 % intervals and exact McNemar tests.",
        "准确率的配对差异（百分点）、95 % 区间与精确 McNemar 检验。",
    ),
    "results.confusion": (
        "The joint model's answers; rows are the true labels.",
        "联合模型的混淆矩阵；行为真实标签。",
    ),
    "ablation.table": (
        "The joint model after something was taken away or destroyed. Taken away: the same trained model without one "
        "side. Shuffled: trained anew after one relation in the data was destroyed.",
        "移除或破坏某种信息后的联合模型。移除：同一已训练模型缺少一种模态。打乱：破坏数据中的一种关系后重新训练。",
    ),
    "ablation.differences": (
        "What was lost, paired, in percentage points. The last two ask whether what is left is what one side alone gives.",
        "配对差异（百分点）。最后两行检验剩余部分是否等于单一模态所能给出的结果。",
    ),
    "errors.recall": (
        "Share of each label's pairs that is found (recall), with 95 % intervals.",
        "各标签的召回率及 95 % 区间。",
    ),
    "errors.gallery": (
        "The pairs on which the joint model is most sure and wrong. Some of the labels are noise.",
        "联合模型最自信但出错的样本。部分标签本身含有噪声。",
    ),
    "errors.nodata": (
        "Example pairs need the course folder the runs were made from: mmlab report --results {results} --data DIR",
        "展示样例需要原始课程数据：mmlab report --results {results} --data DIR",
    ),
    "prediction.ok": (
        "test_result.txt answers {n} pairs and passes mmlab verify. It differs from the text-only answers in {text} of "
        "the rows and from the image-only answers in {image}.",
        "test_result.txt 回答了 {n} 个样本，并通过 mmlab verify。与仅文本的答案有 {text} 不同，与仅图像的答案有 {image} 不同。",
    ),
    "prediction.unjudged": (
        "test_result.txt answers {n} pairs. It differs from the text-only answers in {text} of the rows and from the "
        "image-only answers in {image}. It was not judged against the course folder, which is not at hand.",
        "test_result.txt 回答了 {n} 个样本。与仅文本的答案有 {text} 不同，与仅图像的答案有 {image} 不同。课程数据不在，未作核对。",
    ),
    "prediction.bad": (
        "mmlab verify refuses test_result.txt: {problem}",
        "mmlab verify 拒绝 test_result.txt：{problem}",
    ),
    "prediction.none": ("There is no pair to predict.", "没有待预测的样本。"),
    "prediction.shares": ("Shares of the labels.", "各标签的占比。"),
    "others.coursework": (
        "The coursework that this lab replaces reported a best dev accuracy of {theirs:.2f} % on {n} pairs "
        "([{low:.1f}, {high:.1f}]), below the {majority:.1f} % of always answering positive, and handed in identical files "
        "for text only and for text and image: its fusion returned its text head, its accuracy compared the wrong rows, "
        "and its learning rates (1e-5 to 1e-8) moved no weight far enough. Here the joint model scores {ours}, always "
        "answering the most frequent label {floor}, and the files differ in {differ} of the rows.",
        "被本实验取代的课程作业报告的最佳 dev 准确率为 {theirs:.2f} %（{n} 个样本，[{low:.1f}, {high:.1f}]），低于总是回答 positive 的 "
        "{majority:.1f} %，且仅文本与图文两个结果文件完全相同：其融合模型返回了文本头的输出，准确率比较了错误的行，学习率（1e-5 到 1e-8）"
        "过小。本实验联合模型为 {ours}，总是回答最常见标签为 {floor}，两个文件有 {differ} 的行不同。",
    ),
    "others.grid": (
        "The coursework's own grid of learning rates and dropouts, run here: train (dashed) and dev loss.",
        "在本实验中重跑的原课程作业网格：训练损失（虚线）与验证损失。",
    ),
    "others.nogrid": (
        "The coursework's own grid was not run on these data. To see it beside the others: {command}",
        "未在这些数据上重跑原课程作业的网格。运行方法：{command}",
    ),
    "others.best": (
        "Its best cell here reaches {accuracy} on dev, where always answering the most frequent label scores {floor:.3f}.",
        "其最佳单元在 dev 上为 {accuracy}，总是回答最常见标签为 {floor:.3f}。",
    ),
    "others.table": (
        "Reported accuracies on MVSA-Single, with Wilson's 95 % intervals for {n} test pairs, beside this run's.",
        "MVSA-Single 上已发表的准确率（按 {n} 个测试样本计算 Wilson 95 % 区间）与本实验结果。",
    ),
    "others.why": (
        "The numbers do not rank: each of the published ones is of one random split whose test pairs are not known, "
        "nothing says that twins were kept apart, and their intervals overlap. Ours is of {n} pairs out of fold with twins "
        "kept apart.",
        "这些数字不能直接排名：已发表结果各来自一次测试样本未公开的随机划分，未说明是否隔离孪生样本，且区间互相重叠。"
        "本实验为 {n} 个样本的交叉拟合结果，孪生样本不跨折。",
    ),
    "others.demo": (
        "(The data of this report are not MVSA-Single: nothing follows from the comparison but how it is made.)",
        "（本报告的数据不是 MVSA-Single，比较仅作示例。）",
    ),
    "conclude.real": ("{a} is better than {b}: {difference} points.", "{a} 优于 {b}：{difference} 个百分点。"),
    "conclude.open": (
        "{a} and {b} cannot be told apart on these data: {difference} points.",
        "{a} 与 {b} 在这些数据上无法区分：{difference} 个百分点。",
    ),
    "conclude.leak": (
        "With shuffled labels the model scores {score}, the majority {floor}: {verdict}.",
        "标签打乱后模型为 {score}，多数类为 {floor}：{verdict}。",
    ),
    "leak.no": ("no sign of a leak", "没有泄漏迹象"),
    "leak.yes": ("above the majority, which points to a leak", "高于多数类，可能存在泄漏"),
    "limits.text": (
        "The labels are noisy ({conflicts} twin groups disagree on theirs), so no model can be right everywhere.|"
        "The intervals hold for pairs like these; other years and topics were not tried.|"
        "{rare} pairs of the rarest label ({label}) leave its recall uncertain.|"
        "One split of the folds was drawn (seed {seed}); another would move each score by about its interval.",
        "标签含有噪声（{conflicts} 个孪生组的标签不一致），任何模型都不可能全对。|区间只适用于同类样本，其他年份与话题未测试。|"
        "最少的标签（{label}）只有 {rare} 个样本，其召回率不确定。|折的划分只抽取了一次（种子 {seed}），换一次划分得分会在区间范围内变动。",
    ),
    "provenance.text": (
        "Data {data}, split {split}, seed {seed}, commit {commit}. Each row of a table of scores comes from one run "
        "folder, made by the command below (a notebook makes several). Runs of unlike numbers of models a fold are compared "
        "as they are.",
        "数据 {data}，划分 {split}，种子 {seed}，提交 {commit}。得分表中每一行来自一个运行目录，由下方命令得到（一个 notebook 会产生多个运行）。每折模型数不同的运行按原样比较。",
    ),
    "provenance.caption": ("Rows, run folders and commands.", "各行、运行目录与命令。"),
    "stale": (
        "Made by an older version of the code than this report: {parts}. mmlab run makes them anew.",
        "以下运行由较旧的代码产生：{parts}。mmlab run 可重新生成。",
    ),
}
