#[tokio::test(flavor = "multi_thread")]
async fn smoke() {
    let _turn = export_tests::light().await;
    let deployment = export_tests::Deployment::all().await.unwrap();
    deployment.generate("demo", 1, 3000).unwrap();
    let finished = deployment.run("json:raw").await.unwrap();
    finished.assert_once();
    println!("{:?}", finished.timeline());
    panic!("see logs");
}
