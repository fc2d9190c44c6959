BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002');
CREATE TABLE annotation (
	id VARCHAR(32) NOT NULL, 
	number INTEGER NOT NULL, 
	assignment_id VARCHAR(32) NOT NULL, 
	task_id VARCHAR(32) NOT NULL, 
	annotator_id VARCHAR(32) NOT NULL, 
	kind VARCHAR(12) NOT NULL, 
	version INTEGER NOT NULL, 
	payload JSON NOT NULL, 
	duration_ms INTEGER, 
	active_ms INTEGER, 
	idempotency_key VARCHAR(80) NOT NULL, 
	body_hash VARCHAR(64) NOT NULL, 
	extra BOOLEAN DEFAULT '0' NOT NULL, 
	supersedes_id VARCHAR(32), 
	created_at FLOAT NOT NULL, 
	CONSTRAINT pk_annotation PRIMARY KEY (id), 
	CONSTRAINT fk_annotation_annotator_id FOREIGN KEY(annotator_id) REFERENCES annotator (id), 
	CONSTRAINT fk_annotation_assignment_id FOREIGN KEY(assignment_id) REFERENCES assignment (id), 
	CONSTRAINT fk_annotation_supersedes_id FOREIGN KEY(supersedes_id) REFERENCES annotation (id), 
	CONSTRAINT fk_annotation_task_id FOREIGN KEY(task_id) REFERENCES task (id), 
	CONSTRAINT uq_annotation_annotator_id_idempotency_key UNIQUE (annotator_id, idempotency_key), 
	CONSTRAINT uq_annotation_number UNIQUE (number), 
	CONSTRAINT uq_annotation_supersedes_id UNIQUE (supersedes_id)
);
INSERT INTO "annotation" VALUES('a263a390f9ee3897',1,'1cd561b986b98491','a1381760a4ce6df0','6b8624a7299134d1','pair',1,'{"verdict": "better", "winner": "909f912dc76cca44", "strength": 2}',NULL,NULL,'key-1cd561b986b98491','a839e99aebed75171c6a2d4aa65a4b082869b089715ea6d30d3df415ee6b5117',0,NULL,1.79591451821801114082e+09);
INSERT INTO "annotation" VALUES('1f99dd08da7cd470',2,'16f1138a3b984d41','a1381760a4ce6df0','d653e9ebeff7b401','pair',1,'{"verdict": "better", "winner": "909f912dc76cca44", "strength": 2}',NULL,NULL,'key-16f1138a3b984d41','74d5c8d6719e8341996f10edcda6daaece314758f6117d8987b9554393825512',0,NULL,1.79591451822427082066e+09);
INSERT INTO "annotation" VALUES('447a6b30182b93fe',3,'9830c5038114a83f','8c37a3700ccf0db6','6b8624a7299134d1','pair',1,'{"verdict": "better", "winner": "a9b1f501ea9a6845", "strength": 1, "flags": {"6411bdc1d1362345": ["false"]}, "criteria": {"harmless": {"verdict": "better", "winner": "6411bdc1d1362345", "strength": 3}}}',NULL,NULL,'key-9830c5038114a83f','fc36ada94be1cb3a9e1a7c0ab9088610487eba3c65f25f7fbf230eaa5494347a',0,NULL,1.79591451824597597122e+09);
INSERT INTO "annotation" VALUES('bfe56470d82dba95',4,'cb7fb6d018cbeb78','093e51c71db5f42c','d653e9ebeff7b401','pair',1,'{"verdict": "both_bad"}',NULL,NULL,'key-cb7fb6d018cbeb78','6164af3076667cad4566954c390f0e7725fd6751683736952553cd38e4dc4cb8',0,NULL,1.79591451825725269319e+09);
INSERT INTO "annotation" VALUES('d5b7345c229ed721',5,'ba4f4aa92f80e4ed','5c1d1f766a5e915a','d653e9ebeff7b401','pair',1,'{"verdict": "better", "winner": "122bf74430edde94", "strength": 2}',NULL,NULL,'key-ba4f4aa92f80e4ed','5e24e4e4c2739bf236d28af21db94e62e6264139d00410584eedcb5d0f336101',0,NULL,1.79591451826788139345e+09);
INSERT INTO "annotation" VALUES('51987f5879dbb90b',6,'232154466059ef0a','22ccde15030edf9c','6b8624a7299134d1','rank',1,'{"tiers": {"b430ee33577b3b76": 1, "18bd6569077fa8cf": 0, "483345ff4f07ae2e": 1}}',NULL,NULL,'key-232154466059ef0a','37f4333f5013fc887e70308405f51c5b2c6b28180392a681efde1fd419d301ea',0,NULL,1.79591451827854394918e+09);
INSERT INTO "annotation" VALUES('19c6ddd6d8290afb',7,'e3ba457c9e98ea75','2af2ca537c3a9236','d653e9ebeff7b401','rank',1,'{"tiers": {"5fa8fde1c1e3da49": 0, "a2a2cb5c60f895c4": 1, "e36d0f7ea1e249b3": 2}, "unranked": ["91a90bdeb3cccb7f", "5c9a02fe16941fbf"]}',NULL,NULL,'key-e3ba457c9e98ea75','8298343dbb9eac5b652e29ace6a95f1f6b35839b677a401cb3f200b75f896f73',0,NULL,1.79591451829226875303e+09);
INSERT INTO "annotation" VALUES('24f63bff2fedd631',8,'63c35aba2478abc9','ce2a7db3ba41f987','6b8624a7299134d1','rate',1,'{"ratings": {"8aadbe97a9267610": 1, "f5b3bff699c800ae": 3, "5c43bd4024b37e3d": 3}, "criteria": {"helpful": {"8aadbe97a9267610": 4, "f5b3bff699c800ae": 5, "5c43bd4024b37e3d": 2}}}',NULL,NULL,'key-63c35aba2478abc9','342a9ccd2c28e96430a06b68dadf362adca04d174f8dd27bc8036058f642ed8b',0,NULL,1.79591451830639553064e+09);
INSERT INTO "annotation" VALUES('16f8721f3c8df931',9,'02a8896932d5d8d9','de114c8e069426cf','d653e9ebeff7b401','rate',1,'{"ratings": {"f9c44b8e5299a27a": 2, "16b089edc5a08392": 7}}',NULL,NULL,'key-02a8896932d5d8d9','20041533fd5a7c37e8b900eec2d4ec233486a0cee12bfa48d597f8890e29cc17',0,NULL,1.7959145183196008205e+09);
INSERT INTO "annotation" VALUES('012e4a8f18f0de03',10,'6165851a54684a57','fd359ac7ad49ce08','6b8624a7299134d1','binary',1,'{"good": {"18d589b3acb7303f": true, "e1d046e062501c85": false, "fa99f0e3e081f986": false}}',NULL,NULL,'key-6165851a54684a57','4ebccd918661c5de529f5643deaed0cd2739379a089a7b3a886fc69651f1a9af',0,NULL,1.79591451833040118219e+09);
INSERT INTO "annotation" VALUES('31f1d660682261e8',11,'ee0b80135642ffa8','067003ab80a9629b','d653e9ebeff7b401','demo',1,'{"text": "A written answer."}',NULL,NULL,'key-ee0b80135642ffa8','860fa34af484cc00fa65cadda7fa0ebf426b7f13fe9100079a67b8e31e902340',0,NULL,1.79591451833839797977e+09);
INSERT INTO "annotation" VALUES('fc7c29a2443be7bc',12,'7c6ffad288e5eba4','82cb6078b98742b9','6b8624a7299134d1','edit',1,'{"message": "524b432eb6c453a1", "text": "A good answer."}',NULL,NULL,'key-7c6ffad288e5eba4','24668e4943747c3e1b1f1a944b2ded41b73af4dcc0753d71119ace6fd64dae9c',0,NULL,1.79591451834868788724e+09);
INSERT INTO "annotation" VALUES('91826789b0ee2d12',13,'1bc5a96c25887a81','8a53412e552c6fa0','d653e9ebeff7b401','turn',1,'{"verdict": "better", "winner": "0a884ac2a85cf040", "strength": 3, "goes_on": "0a884ac2a85cf040", "candidates": "b42e155ddfcded24"}',NULL,NULL,'key-turn-1','3580d80c61718dcbceac1e32081339de78cf0ba56470569cd62566f33988a8d8',0,NULL,1.79591451836157226561e+09);
INSERT INTO "annotation" VALUES('b1b4e10a98f09a36',14,'1bc5a96c25887a81','8a53412e552c6fa0','d653e9ebeff7b401','chat',1,'{"ended": true}',NULL,NULL,'key-ended','2323a4cf07d9818f6d4f85b099cb9a4579248c421cdeb5b872bb24c62b7bb30c',0,NULL,1.79591451836268663406e+09);
INSERT INTO "annotation" VALUES('4752da5768a252f8',15,'9b49865fd61bbe0d','acd3826590bc13aa','6b8624a7299134d1','pair',1,'{"verdict": "tie"}',NULL,NULL,'key-undone','330e3fc0d3f03a1413fcf585cd77a10c39074a8f9c7962a9b04855632bbe2bb9',0,NULL,1.79591451836943984034e+09);
INSERT INTO "annotation" VALUES('3eb8acb5b9de7d9b',16,'9b49865fd61bbe0d','acd3826590bc13aa','6b8624a7299134d1','retraction',1,'{"of": "4752da5768a252f8"}',NULL,NULL,'key-undo-1','b10bda0f815a16ff33b2c06070770188806a598ad46d4f7ca7595d23a8987f1d',0,'4752da5768a252f8',1.79591451837399840351e+09);
INSERT INTO "annotation" VALUES('d8300106bd9e6fed',17,'9b49865fd61bbe0d','acd3826590bc13aa','6b8624a7299134d1','skip',1,'{"reason": "unclear"}',NULL,NULL,'key-skip-1','2d99a57f769a766a7f7630d0bff80e7116f03343b7bb389c316c91577d337113',0,NULL,1.79591451837614870072e+09);
INSERT INTO "annotation" VALUES('945b2e97feda95c3',18,'bbe67cc84c9fd58a','1fda82e92f168044','d653e9ebeff7b401','pair',1,'{"verdict": "better", "winner": "9972c33d172768b4", "strength": 2}',NULL,NULL,'key-bbe67cc84c9fd58a','7981a47beaf4e0b516fde9b50a9304d52e842a48074bdbd5f1b617d9555b0465',0,NULL,1.79591451839419269558e+09);
INSERT INTO "annotation" VALUES('f9bb917ffdf086dd',19,'bf5f40939f01d379','2943dc3074eaedf2','b6f490dcd660720b','pair',1,'{"verdict": "better", "winner": "fed6d82e43a47497", "strength": 1}',NULL,NULL,'import-a4ad4a5c70b6731eba42fa2e5566ee1a0be6437a','d33b152150006685bc1fdff6a728377d41e77e84a6f7eac5eef353a72eec3e1a',0,NULL,1.79591451840958619121e+09);
INSERT INTO "annotation" VALUES('304581379e41b173',20,'54678bf230b8adc1','086efc69f5fa9dc9','b6f490dcd660720b','rate',1,'{"ratings": {"950841d2834a1d29": 2, "a8c6a7c292abee4b": 5}}',NULL,NULL,'import-ab5017b1a38aba96a58491d9c2aa38ed2a3bb149','be4148baf6186d9a2fe1c31e8f99b01c7af064d4b8aee3f258664f06000759db',0,NULL,1.79591451842028236389e+09);
INSERT INTO "annotation" VALUES('6f7f1ba17ca2b8df',21,'e58b7cff254186b7','0e9bc508f53172a5','b6f490dcd660720b','binary',1,'{"good": {"be05e4222d410bca": false}, "flags": {"be05e4222d410bca": ["harmful"]}}',NULL,NULL,'import-dd46ea3b2afbf5b321f088d2764d2a2a1e71ce3a','35b0f74a324c3ddd28108068bf434f55e0c6c2a6b4f570b884271d41feb9d833',0,NULL,1.79591451842753314967e+09);
INSERT INTO "annotation" VALUES('4bcaae296c1e56ad',22,'4fa7700b379f46e5','1b729be04286bd94','b6f490dcd660720b','binary',1,'{"good": {"f1cf0046b6a2b98c": false}, "flags": {"f1cf0046b6a2b98c": ["false"]}}',NULL,NULL,'import-08c544f63d37970a3ba0a2129f1ed1be06c02530','804c05e78045145634f35acf4452f89512217aa2082b59015100301db84cc92c',0,NULL,1.79591451843347311026e+09);
INSERT INTO "annotation" VALUES('258d722004084454',23,'4146d4c5aa99a93b','b331344171a48b6f','b6f490dcd660720b','rank',1,'{"tiers": {"4c2450c3d493c143": 0, "a0eedd2c75a86f92": 1}}',NULL,NULL,'import-ac6c226b8d9044324812c03f7da6dbfaf41995fe','44d8d8b86cedc9a4c665d12c6b44d35ba3948c8455788d9150e3fd9ac2d3ffef',0,NULL,1.79591451844056820873e+09);
INSERT INTO "annotation" VALUES('1881b13397fcda57',24,'7261b76c4f0979da','4030777611e0c5cb','b6f490dcd660720b','edit',1,'{"message": "e3b8668c03016858", "text": "j"}',NULL,NULL,'import-4e6955da4875d4287f1352095e8a9e52df3a5abc','55e521213887308e3412be2aa665041c1142e4fd042ae4883c9ff15f3467d1c8',0,NULL,1.79591451844698643688e+09);
INSERT INTO "annotation" VALUES('0a3e37cebde69521',25,'f38dbf9db806eded','a0d66898a6c0bb23','b6f490dcd660720b','demo',1,'{"text": "k"}',NULL,NULL,'import-f93ee77a72971c9ab603a3d97933756d716f1584','93a785aafd6fa7057e0c0888d9890d35d12e824b2564fd9f2063874f2e8486b9',0,NULL,1.79591451845265674593e+09);
INSERT INTO "annotation" VALUES('20b1fdb26b79ed16',26,'3932606a95d4a77c','12cbc88bbeb06f3c','d653e9ebeff7b401','review',1,'{"verdict": "agree"}',NULL,NULL,'key-review','3d226c5fa121dd5290ac11a46b38a33c4efc330c281940ccab90cbf6aec3d466',0,NULL,1.79591451847225666051e+09);
CREATE TABLE annotator (
	id VARCHAR(32) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	role VARCHAR(20) NOT NULL, 
	password_hash TEXT, 
	simulated BOOLEAN DEFAULT '0' NOT NULL, 
	disabled_at FLOAT, 
	created_at FLOAT NOT NULL, 
	CONSTRAINT pk_annotator PRIMARY KEY (id), 
	CONSTRAINT ck_annotator_role CHECK (role in ('owner', 'reviewer', 'annotator')), 
	CONSTRAINT uq_annotator_name UNIQUE (name)
);
INSERT INTO "annotator" VALUES('6b8624a7299134d1','Ann','annotator',NULL,0,NULL,1.79591451819684505466e+09);
INSERT INTO "annotator" VALUES('d653e9ebeff7b401','Ben','annotator',NULL,0,NULL,1.79591451819869232179e+09);
INSERT INTO "annotator" VALUES('b6f490dcd660720b','Cai','annotator',NULL,0,NULL,1.79591451840127253533e+09);
CREATE TABLE assignment (
	id VARCHAR(32) NOT NULL, 
	task_id VARCHAR(32) NOT NULL, 
	annotator_id VARCHAR(32) NOT NULL, 
	state VARCHAR(10) NOT NULL, 
	leased_at FLOAT NOT NULL, 
	lease_expires FLOAT NOT NULL, 
	attempt INTEGER DEFAULT '1' NOT NULL, 
	shown_order JSON NOT NULL, 
	seed INTEGER DEFAULT '0' NOT NULL, 
	guideline_id VARCHAR(32), 
	CONSTRAINT pk_assignment PRIMARY KEY (id), 
	CONSTRAINT ck_assignment_state CHECK (state in ('leased', 'submitted', 'skipped')), 
	CONSTRAINT fk_assignment_annotator_id FOREIGN KEY(annotator_id) REFERENCES annotator (id), 
	CONSTRAINT fk_assignment_guideline_id FOREIGN KEY(guideline_id) REFERENCES guideline (id), 
	CONSTRAINT fk_assignment_task_id FOREIGN KEY(task_id) REFERENCES task (id), 
	CONSTRAINT uq_assignment_task_id_annotator_id UNIQUE (task_id, annotator_id)
);
INSERT INTO "assignment" VALUES('1cd561b986b98491','a1381760a4ce6df0','6b8624a7299134d1','submitted',1.79591451820569109922e+09,1.79591511820569109912e+09,1,'["0b637826e3acc602", "909f912dc76cca44"]',497289807,'bcdb0474523058e4');
INSERT INTO "assignment" VALUES('16f1138a3b984d41','a1381760a4ce6df0','d653e9ebeff7b401','submitted',1.79591451822203016278e+09,1.79591511822203016282e+09,1,'["0b637826e3acc602", "909f912dc76cca44"]',155428231,'bcdb0474523058e4');
INSERT INTO "assignment" VALUES('9830c5038114a83f','8c37a3700ccf0db6','6b8624a7299134d1','submitted',1.79591451823806214334e+09,1.79591511823806214333e+09,1,'["6411bdc1d1362345", "a9b1f501ea9a6845"]',823629912,'bcdb0474523058e4');
INSERT INTO "assignment" VALUES('cb7fb6d018cbeb78','093e51c71db5f42c','d653e9ebeff7b401','submitted',1.79591451825438785548e+09,1.79591511825438785547e+09,1,'["14281998a0c47428", "3bbdf4cf8fffcb90"]',131050243,'bcdb0474523058e4');
INSERT INTO "assignment" VALUES('ba4f4aa92f80e4ed','5c1d1f766a5e915a','d653e9ebeff7b401','submitted',1.79591451826553916929e+09,1.79591511826553916928e+09,1,'["122bf74430edde94", "d9f602e073b7ad47"]',1817297763,'bcdb0474523058e4');
INSERT INTO "assignment" VALUES('232154466059ef0a','22ccde15030edf9c','6b8624a7299134d1','submitted',1.79591451827550363539e+09,1.79591511827550363543e+09,1,'["18bd6569077fa8cf", "483345ff4f07ae2e", "b430ee33577b3b76"]',73639626,'bcdb0474523058e4');
INSERT INTO "assignment" VALUES('e3ba457c9e98ea75','2af2ca537c3a9236','d653e9ebeff7b401','submitted',1.79591451828924536697e+09,1.79591511828924536701e+09,1,'["5c9a02fe16941fbf", "a2a2cb5c60f895c4", "5fa8fde1c1e3da49", "91a90bdeb3cccb7f", "e36d0f7ea1e249b3"]',729045124,'bcdb0474523058e4');
INSERT INTO "assignment" VALUES('63c35aba2478abc9','ce2a7db3ba41f987','6b8624a7299134d1','submitted',1.79591451830276775357e+09,1.79591511830276775356e+09,1,'["5c43bd4024b37e3d", "f5b3bff699c800ae", "8aadbe97a9267610"]',1221522246,'bcdb0474523058e4');
INSERT INTO "assignment" VALUES('02a8896932d5d8d9','de114c8e069426cf','d653e9ebeff7b401','submitted',1.795914518316521883e+09,1.79591511831652188299e+09,1,'["f9c44b8e5299a27a", "16b089edc5a08392"]',713327874,'bcdb0474523058e4');
INSERT INTO "assignment" VALUES('6165851a54684a57','fd359ac7ad49ce08','6b8624a7299134d1','submitted',1.79591451832781744003e+09,1.79591511832781744006e+09,1,'["fa99f0e3e081f986", "e1d046e062501c85", "18d589b3acb7303f"]',2021896790,'bcdb0474523058e4');
INSERT INTO "assignment" VALUES('ee0b80135642ffa8','067003ab80a9629b','d653e9ebeff7b401','submitted',1.79591451833588051792e+09,1.79591511833588051792e+09,1,'[]',1390534677,'bcdb0474523058e4');
INSERT INTO "assignment" VALUES('7c6ffad288e5eba4','82cb6078b98742b9','6b8624a7299134d1','submitted',1.79591451834527611733e+09,1.79591511834527611736e+09,1,'["524b432eb6c453a1"]',1178274258,'bcdb0474523058e4');
INSERT INTO "assignment" VALUES('1bc5a96c25887a81','8a53412e552c6fa0','d653e9ebeff7b401','submitted',1.79591451835421228406e+09,1.79591511835421228406e+09,1,'[]',1914212855,'bcdb0474523058e4');
INSERT INTO "assignment" VALUES('9b49865fd61bbe0d','acd3826590bc13aa','6b8624a7299134d1','skipped',1.79591451837387132643e+09,1.79591511837387132646e+09,1,'["501ffe170693acb4", "bfe9c49b868da096"]',298729356,'bcdb0474523058e4');
INSERT INTO "assignment" VALUES('bbe67cc84c9fd58a','1fda82e92f168044','d653e9ebeff7b401','submitted',1.79591451839136385915e+09,1.79591511839136385919e+09,1,'["d6dd69afd569e071", "9972c33d172768b4"]',967346311,'bcdb0474523058e4');
INSERT INTO "assignment" VALUES('bf5f40939f01d379','2943dc3074eaedf2','b6f490dcd660720b','submitted',1.79591451840791678428e+09,1.79591451940791678432e+09,1,'["fed6d82e43a47497", "507c946c53bcbecc"]',0,NULL);
INSERT INTO "assignment" VALUES('54678bf230b8adc1','086efc69f5fa9dc9','b6f490dcd660720b','submitted',1.79591451841896343226e+09,1.79591451941896343229e+09,1,'["950841d2834a1d29", "a8c6a7c292abee4b"]',0,NULL);
INSERT INTO "assignment" VALUES('e58b7cff254186b7','0e9bc508f53172a5','b6f490dcd660720b','submitted',1.79591451842664647105e+09,1.79591451942664647109e+09,1,'["be05e4222d410bca"]',0,NULL);
INSERT INTO "assignment" VALUES('4fa7700b379f46e5','1b729be04286bd94','b6f490dcd660720b','submitted',1.79591451843264174456e+09,1.79591451943264174455e+09,1,'["f1cf0046b6a2b98c"]',0,NULL);
INSERT INTO "assignment" VALUES('4146d4c5aa99a93b','b331344171a48b6f','b6f490dcd660720b','submitted',1.79591451843971824649e+09,1.79591451943971824652e+09,1,'["4c2450c3d493c143", "a0eedd2c75a86f92"]',0,NULL);
INSERT INTO "assignment" VALUES('7261b76c4f0979da','4030777611e0c5cb','b6f490dcd660720b','submitted',1.79591451844590091705e+09,1.79591451944590091709e+09,1,'["e3b8668c03016858"]',0,NULL);
INSERT INTO "assignment" VALUES('f38dbf9db806eded','a0d66898a6c0bb23','b6f490dcd660720b','submitted',1.79591451845181059835e+09,1.79591451945181059838e+09,1,'[]',0,NULL);
INSERT INTO "assignment" VALUES('9367dc5047e4621d','48b842c24bd4a5bd','d653e9ebeff7b401','leased',1.79591451846817207332e+09,1.79591511846817207336e+09,1,'["9fcd457a3bd368d5", "620ec2d3ad356b78"]',1793644177,'bcdb0474523058e4');
INSERT INTO "assignment" VALUES('3932606a95d4a77c','12cbc88bbeb06f3c','d653e9ebeff7b401','submitted',1.79591451847014546396e+09,1.79591511847014546386e+09,1,'["4c2450c3d493c143", "a0eedd2c75a86f92"]',152444877,'bcdb0474523058e4');
CREATE TABLE audit_log (
	id INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	who TEXT NOT NULL, 
	what TEXT NOT NULL, 
	about TEXT DEFAULT '' NOT NULL, 
	before_hash VARCHAR(64), 
	after_hash VARCHAR(64), 
	CONSTRAINT pk_audit_log PRIMARY KEY (id)
);
INSERT INTO "audit_log" VALUES(1,1.7959145181977643966e+09,'Ann','joined','annotator',NULL,NULL);
INSERT INTO "audit_log" VALUES(2,1795914518.19891,'Ben','joined','annotator',NULL,NULL);
INSERT INTO "audit_log" VALUES(3,1.79591451822801280021e+09,'truing','opened round','1',NULL,NULL);
INSERT INTO "audit_log" VALUES(4,1.79591451838177847862e+09,'truing','snapshot','b4b34f2cbab15dde',NULL,'9cf83a804cb93b74b0a2dda3ddf42639eca1f985ea57f45bad1cde4eea4cd33d');
INSERT INTO "audit_log" VALUES(5,1.79591451838396048545e+09,'truing','closed round','1',NULL,NULL);
INSERT INTO "audit_log" VALUES(6,1.79591451838637089725e+09,'truing','opened round','2',NULL,NULL);
INSERT INTO "audit_log" VALUES(7,1.7959145184016604424e+09,'Cai','joined','annotator',NULL,NULL);
INSERT INTO "audit_log" VALUES(8,1.79591451847510457035e+09,'truing','snapshot','0cb199fdde54c8cf',NULL,'10e4634e1ea83077919d88367a76899b8c974bc708675a8c84312fcae2b947e9');
CREATE TABLE candidate (
	candidate_set_id VARCHAR(32) NOT NULL, 
	message_id VARCHAR(32) NOT NULL, 
	position INTEGER NOT NULL, 
	CONSTRAINT pk_candidate PRIMARY KEY (candidate_set_id, message_id), 
	CONSTRAINT fk_candidate_candidate_set_id FOREIGN KEY(candidate_set_id) REFERENCES candidate_set (id), 
	CONSTRAINT fk_candidate_message_id FOREIGN KEY(message_id) REFERENCES message (id)
);
INSERT INTO "candidate" VALUES('3967237332700d18','909f912dc76cca44',0);
INSERT INTO "candidate" VALUES('3967237332700d18','0b637826e3acc602',1);
INSERT INTO "candidate" VALUES('911335765cb0cb28','a9b1f501ea9a6845',0);
INSERT INTO "candidate" VALUES('911335765cb0cb28','6411bdc1d1362345',1);
INSERT INTO "candidate" VALUES('1249ba45268b3f8c','14281998a0c47428',0);
INSERT INTO "candidate" VALUES('1249ba45268b3f8c','3bbdf4cf8fffcb90',1);
INSERT INTO "candidate" VALUES('75e185a6b0d428f1','122bf74430edde94',0);
INSERT INTO "candidate" VALUES('75e185a6b0d428f1','d9f602e073b7ad47',1);
INSERT INTO "candidate" VALUES('345f248f7f53cdff','b430ee33577b3b76',0);
INSERT INTO "candidate" VALUES('345f248f7f53cdff','18bd6569077fa8cf',1);
INSERT INTO "candidate" VALUES('345f248f7f53cdff','483345ff4f07ae2e',2);
INSERT INTO "candidate" VALUES('3e4259a4f574f1cf','5fa8fde1c1e3da49',0);
INSERT INTO "candidate" VALUES('3e4259a4f574f1cf','a2a2cb5c60f895c4',1);
INSERT INTO "candidate" VALUES('3e4259a4f574f1cf','e36d0f7ea1e249b3',2);
INSERT INTO "candidate" VALUES('3e4259a4f574f1cf','91a90bdeb3cccb7f',3);
INSERT INTO "candidate" VALUES('3e4259a4f574f1cf','5c9a02fe16941fbf',4);
INSERT INTO "candidate" VALUES('1cdcb1e9d8b5a079','8aadbe97a9267610',0);
INSERT INTO "candidate" VALUES('1cdcb1e9d8b5a079','f5b3bff699c800ae',1);
INSERT INTO "candidate" VALUES('1cdcb1e9d8b5a079','5c43bd4024b37e3d',2);
INSERT INTO "candidate" VALUES('262805862e6a6a68','f9c44b8e5299a27a',0);
INSERT INTO "candidate" VALUES('262805862e6a6a68','16b089edc5a08392',1);
INSERT INTO "candidate" VALUES('7b1027e6db3f51c0','18d589b3acb7303f',0);
INSERT INTO "candidate" VALUES('7b1027e6db3f51c0','e1d046e062501c85',1);
INSERT INTO "candidate" VALUES('7b1027e6db3f51c0','fa99f0e3e081f986',2);
INSERT INTO "candidate" VALUES('ef771a053bd88aed','524b432eb6c453a1',0);
INSERT INTO "candidate" VALUES('b42e155ddfcded24','0a884ac2a85cf040',0);
INSERT INTO "candidate" VALUES('b42e155ddfcded24','0794ccc76ccd15db',1);
INSERT INTO "candidate" VALUES('1243daa4b62e37ce','501ffe170693acb4',0);
INSERT INTO "candidate" VALUES('1243daa4b62e37ce','bfe9c49b868da096',1);
INSERT INTO "candidate" VALUES('b2cbd7b9373afbba','9972c33d172768b4',0);
INSERT INTO "candidate" VALUES('b2cbd7b9373afbba','d6dd69afd569e071',1);
INSERT INTO "candidate" VALUES('2dd90216ab1c917b','fed6d82e43a47497',0);
INSERT INTO "candidate" VALUES('2dd90216ab1c917b','507c946c53bcbecc',1);
INSERT INTO "candidate" VALUES('56929133f6881634','950841d2834a1d29',0);
INSERT INTO "candidate" VALUES('56929133f6881634','a8c6a7c292abee4b',1);
INSERT INTO "candidate" VALUES('a0e74e4665f3eb92','be05e4222d410bca',0);
INSERT INTO "candidate" VALUES('b016b030bac9ce52','f1cf0046b6a2b98c',0);
INSERT INTO "candidate" VALUES('79ebca21cd6dbaa1','4c2450c3d493c143',0);
INSERT INTO "candidate" VALUES('79ebca21cd6dbaa1','a0eedd2c75a86f92',1);
INSERT INTO "candidate" VALUES('e659fc7a59758d6b','e3b8668c03016858',0);
INSERT INTO "candidate" VALUES('6e7608bcaa82b697','9fcd457a3bd368d5',0);
INSERT INTO "candidate" VALUES('6e7608bcaa82b697','620ec2d3ad356b78',1);
CREATE TABLE candidate_set (
	id VARCHAR(32) NOT NULL, 
	prompt_id VARCHAR(32) NOT NULL, 
	parent_id VARCHAR(32), 
	selection VARCHAR(20) DEFAULT 'random' NOT NULL, 
	acquisition FLOAT, 
	scores JSON NOT NULL, 
	created_at FLOAT NOT NULL, 
	CONSTRAINT pk_candidate_set PRIMARY KEY (id), 
	CONSTRAINT fk_candidate_set_parent_id FOREIGN KEY(parent_id) REFERENCES message (id), 
	CONSTRAINT fk_candidate_set_prompt_id FOREIGN KEY(prompt_id) REFERENCES prompt (id)
);
INSERT INTO "candidate_set" VALUES('3967237332700d18','b4df0e1fcace3c35',NULL,'gold',NULL,'{}',1.79591451820230436323e+09);
INSERT INTO "candidate_set" VALUES('911335765cb0cb28','08fbaab056af548a',NULL,'random',NULL,'{}',1.79591451823682689671e+09);
INSERT INTO "candidate_set" VALUES('1249ba45268b3f8c','90d2c5d72d732aeb',NULL,'random',NULL,'{}',1.79591451825311088563e+09);
INSERT INTO "candidate_set" VALUES('75e185a6b0d428f1','9361eefe252cbab4',NULL,'random',NULL,'{}',1.79591451826428699493e+09);
INSERT INTO "candidate_set" VALUES('345f248f7f53cdff','0080c9544d10aeaf',NULL,'random',NULL,'{}',1.79591451827420616155e+09);
INSERT INTO "candidate_set" VALUES('3e4259a4f574f1cf','d76f0c8c8344a276',NULL,'random',NULL,'{}',1.795914518288048029e+09);
INSERT INTO "candidate_set" VALUES('1cdcb1e9d8b5a079','5fd0c289ec4f9720',NULL,'random',NULL,'{}',1.79591451830145144462e+09);
INSERT INTO "candidate_set" VALUES('262805862e6a6a68','e2ecd80dcf69ecab',NULL,'random',NULL,'{}',1.79591451831528329846e+09);
INSERT INTO "candidate_set" VALUES('7b1027e6db3f51c0','39647047c57b3e9b',NULL,'random',NULL,'{}',1.79591451832653117176e+09);
INSERT INTO "candidate_set" VALUES('ef771a053bd88aed','447773f4078e63fa',NULL,'random',NULL,'{}',1.79591451834377193452e+09);
INSERT INTO "candidate_set" VALUES('b42e155ddfcded24','a0121e3d46ebf4d4','a562495e7f88db49','arena',NULL,'{}',1.7959145183577511311e+09);
INSERT INTO "candidate_set" VALUES('1243daa4b62e37ce','f2597945533976e5',NULL,'random',NULL,'{}',1.79591451836600589754e+09);
INSERT INTO "candidate_set" VALUES('b2cbd7b9373afbba','08fbaab056af548a',NULL,'random',NULL,'{}',1.79591451839007639887e+09);
INSERT INTO "candidate_set" VALUES('2dd90216ab1c917b','7844910c96b18913',NULL,'import',NULL,'{}',1.79591451840622234339e+09);
INSERT INTO "candidate_set" VALUES('56929133f6881634','389c940d2f645c07',NULL,'import',NULL,'{}',1.79591451841762375835e+09);
INSERT INTO "candidate_set" VALUES('a0e74e4665f3eb92','a32ab6e3f3625870',NULL,'import',NULL,'{}',1.79591451842529821391e+09);
INSERT INTO "candidate_set" VALUES('b016b030bac9ce52','a32ab6e3f3625870',NULL,'import',NULL,'{}',1.79591451843138289455e+09);
INSERT INTO "candidate_set" VALUES('79ebca21cd6dbaa1','221d4031a1f14a34',NULL,'import',NULL,'{}',1.79591451843850421904e+09);
INSERT INTO "candidate_set" VALUES('e659fc7a59758d6b','d051dee2def1cd5c',NULL,'import',NULL,'{}',1.79591451844479393961e+09);
INSERT INTO "candidate_set" VALUES('6e7608bcaa82b697','c023009c4478f792',NULL,'random',NULL,'{}',1.79591451846056365969e+09);
CREATE TABLE comparison (
	id VARCHAR(32) NOT NULL, 
	annotation_id VARCHAR(32) NOT NULL, 
	prompt_id VARCHAR(32) NOT NULL, 
	winner_id VARCHAR(32) NOT NULL, 
	loser_id VARCHAR(32) NOT NULL, 
	tie BOOLEAN NOT NULL, 
	strength INTEGER, 
	verdict TEXT DEFAULT 'better' NOT NULL, 
	criterion TEXT DEFAULT '' NOT NULL, 
	origin TEXT NOT NULL, 
	CONSTRAINT pk_comparison PRIMARY KEY (id), 
	CONSTRAINT fk_comparison_annotation_id FOREIGN KEY(annotation_id) REFERENCES annotation (id), 
	CONSTRAINT fk_comparison_loser_id FOREIGN KEY(loser_id) REFERENCES message (id), 
	CONSTRAINT fk_comparison_prompt_id FOREIGN KEY(prompt_id) REFERENCES prompt (id), 
	CONSTRAINT fk_comparison_winner_id FOREIGN KEY(winner_id) REFERENCES message (id)
);
INSERT INTO "comparison" VALUES('e3060e1964341607','a263a390f9ee3897','b4df0e1fcace3c35','909f912dc76cca44','0b637826e3acc602',0,2,'better','','pair');
INSERT INTO "comparison" VALUES('7521942e75340d56','1f99dd08da7cd470','b4df0e1fcace3c35','909f912dc76cca44','0b637826e3acc602',0,2,'better','','pair');
INSERT INTO "comparison" VALUES('1c64756848e9f332','447a6b30182b93fe','08fbaab056af548a','a9b1f501ea9a6845','6411bdc1d1362345',0,1,'better','','pair');
INSERT INTO "comparison" VALUES('59ab03654a726489','447a6b30182b93fe','08fbaab056af548a','6411bdc1d1362345','a9b1f501ea9a6845',0,3,'better','harmless','pair');
INSERT INTO "comparison" VALUES('22f0ba348bcc7dc8','bfe56470d82dba95','90d2c5d72d732aeb','14281998a0c47428','3bbdf4cf8fffcb90',1,NULL,'both_bad','','pair');
INSERT INTO "comparison" VALUES('e18ef1bcebd5a537','d5b7345c229ed721','9361eefe252cbab4','122bf74430edde94','d9f602e073b7ad47',0,2,'better','','pair');
INSERT INTO "comparison" VALUES('80e96c02da10f58c','51987f5879dbb90b','0080c9544d10aeaf','18bd6569077fa8cf','483345ff4f07ae2e',0,NULL,'better','','ranking');
INSERT INTO "comparison" VALUES('24907000dff59cff','51987f5879dbb90b','0080c9544d10aeaf','18bd6569077fa8cf','b430ee33577b3b76',0,NULL,'better','','ranking');
INSERT INTO "comparison" VALUES('b93e135516715b2e','51987f5879dbb90b','0080c9544d10aeaf','483345ff4f07ae2e','b430ee33577b3b76',1,NULL,'tie','','ranking');
INSERT INTO "comparison" VALUES('e772221f850040cd','19c6ddd6d8290afb','d76f0c8c8344a276','5fa8fde1c1e3da49','5c9a02fe16941fbf',0,NULL,'better','','ranking');
INSERT INTO "comparison" VALUES('986bbca730ab5881','19c6ddd6d8290afb','d76f0c8c8344a276','a2a2cb5c60f895c4','5c9a02fe16941fbf',0,NULL,'better','','ranking');
INSERT INTO "comparison" VALUES('727a89de6d267960','19c6ddd6d8290afb','d76f0c8c8344a276','e36d0f7ea1e249b3','5c9a02fe16941fbf',0,NULL,'better','','ranking');
INSERT INTO "comparison" VALUES('187e4b72c303f1ba','19c6ddd6d8290afb','d76f0c8c8344a276','5fa8fde1c1e3da49','91a90bdeb3cccb7f',0,NULL,'better','','ranking');
INSERT INTO "comparison" VALUES('50300f69d8b39dc9','19c6ddd6d8290afb','d76f0c8c8344a276','5fa8fde1c1e3da49','a2a2cb5c60f895c4',0,NULL,'better','','ranking');
INSERT INTO "comparison" VALUES('f59a123c2f1f214d','19c6ddd6d8290afb','d76f0c8c8344a276','5fa8fde1c1e3da49','e36d0f7ea1e249b3',0,NULL,'better','','ranking');
INSERT INTO "comparison" VALUES('ec4ef3009412c2cc','19c6ddd6d8290afb','d76f0c8c8344a276','a2a2cb5c60f895c4','91a90bdeb3cccb7f',0,NULL,'better','','ranking');
INSERT INTO "comparison" VALUES('5a06d9a6257c974f','19c6ddd6d8290afb','d76f0c8c8344a276','e36d0f7ea1e249b3','91a90bdeb3cccb7f',0,NULL,'better','','ranking');
INSERT INTO "comparison" VALUES('dfa6ebede222ce31','19c6ddd6d8290afb','d76f0c8c8344a276','a2a2cb5c60f895c4','e36d0f7ea1e249b3',0,NULL,'better','','ranking');
INSERT INTO "comparison" VALUES('2f93c93f8e913cbf','24f63bff2fedd631','5fd0c289ec4f9720','5c43bd4024b37e3d','8aadbe97a9267610',0,2,'better','','rating');
INSERT INTO "comparison" VALUES('2a98e90109bfbc46','24f63bff2fedd631','5fd0c289ec4f9720','5c43bd4024b37e3d','f5b3bff699c800ae',1,NULL,'tie','','rating');
INSERT INTO "comparison" VALUES('50b4499f9fa9fe8c','24f63bff2fedd631','5fd0c289ec4f9720','f5b3bff699c800ae','8aadbe97a9267610',0,2,'better','','rating');
INSERT INTO "comparison" VALUES('35de22d8b4072879','24f63bff2fedd631','5fd0c289ec4f9720','8aadbe97a9267610','5c43bd4024b37e3d',0,2,'better','helpful','rating');
INSERT INTO "comparison" VALUES('aae61582403e24bd','24f63bff2fedd631','5fd0c289ec4f9720','f5b3bff699c800ae','5c43bd4024b37e3d',0,3,'better','helpful','rating');
INSERT INTO "comparison" VALUES('fcf9d35a469b21c0','24f63bff2fedd631','5fd0c289ec4f9720','f5b3bff699c800ae','8aadbe97a9267610',0,1,'better','helpful','rating');
INSERT INTO "comparison" VALUES('ee124123672f286c','16f8721f3c8df931','e2ecd80dcf69ecab','16b089edc5a08392','f9c44b8e5299a27a',0,3,'better','','rating');
INSERT INTO "comparison" VALUES('8c16bcf13678f772','012e4a8f18f0de03','39647047c57b3e9b','18d589b3acb7303f','e1d046e062501c85',0,NULL,'better','','binary');
INSERT INTO "comparison" VALUES('4bd6a63daf28ca42','012e4a8f18f0de03','39647047c57b3e9b','18d589b3acb7303f','fa99f0e3e081f986',0,NULL,'better','','binary');
INSERT INTO "comparison" VALUES('640e550f9128feed','fc7c29a2443be7bc','447773f4078e63fa','0c7570e253873d3a','524b432eb6c453a1',0,NULL,'better','','edit');
INSERT INTO "comparison" VALUES('a328c16cf9811f0e','91826789b0ee2d12','a0121e3d46ebf4d4','0a884ac2a85cf040','0794ccc76ccd15db',0,3,'better','','pair');
INSERT INTO "comparison" VALUES('0235c541b1515200','4752da5768a252f8','f2597945533976e5','501ffe170693acb4','bfe9c49b868da096',1,NULL,'tie','','pair');
INSERT INTO "comparison" VALUES('faf4e3132f0b38c5','945b2e97feda95c3','08fbaab056af548a','9972c33d172768b4','d6dd69afd569e071',0,2,'better','','pair');
INSERT INTO "comparison" VALUES('be9185b480227892','f9bb917ffdf086dd','7844910c96b18913','fed6d82e43a47497','507c946c53bcbecc',0,1,'better','helpful','pair');
INSERT INTO "comparison" VALUES('90fda47bab1fb7d4','304581379e41b173','389c940d2f645c07','a8c6a7c292abee4b','950841d2834a1d29',0,3,'better','helpful','rating');
INSERT INTO "comparison" VALUES('7b96f790c53acc0a','258d722004084454','221d4031a1f14a34','4c2450c3d493c143','a0eedd2c75a86f92',0,NULL,'better','','ranking');
INSERT INTO "comparison" VALUES('8415352a84e0f965','1881b13397fcda57','d051dee2def1cd5c','f1c48c6092fc3eb1','e3b8668c03016858',0,NULL,'better','','edit');
CREATE TABLE demonstration (
	id VARCHAR(32) NOT NULL, 
	annotation_id VARCHAR(32) NOT NULL, 
	message_id VARCHAR(32) NOT NULL, 
	before_id VARCHAR(32), 
	origin TEXT NOT NULL, 
	CONSTRAINT pk_demonstration PRIMARY KEY (id), 
	CONSTRAINT fk_demonstration_annotation_id FOREIGN KEY(annotation_id) REFERENCES annotation (id), 
	CONSTRAINT fk_demonstration_before_id FOREIGN KEY(before_id) REFERENCES message (id), 
	CONSTRAINT fk_demonstration_message_id FOREIGN KEY(message_id) REFERENCES message (id)
);
INSERT INTO "demonstration" VALUES('33acb64a87b9bd31','31f1d660682261e8','e832d018869dd7c1',NULL,'demonstration');
INSERT INTO "demonstration" VALUES('6742bef06ea252ca','fc7c29a2443be7bc','0c7570e253873d3a','524b432eb6c453a1','edit');
INSERT INTO "demonstration" VALUES('78bf671d881054ac','1881b13397fcda57','f1c48c6092fc3eb1','e3b8668c03016858','edit');
INSERT INTO "demonstration" VALUES('42e9c5ad5913e965','0a3e37cebde69521','9a012b7efb30fde0',NULL,'demonstration');
CREATE TABLE flag (
	id VARCHAR(32) NOT NULL, 
	annotation_id VARCHAR(32) NOT NULL, 
	message_id VARCHAR(32) NOT NULL, 
	name TEXT NOT NULL, 
	CONSTRAINT pk_flag PRIMARY KEY (id), 
	CONSTRAINT fk_flag_annotation_id FOREIGN KEY(annotation_id) REFERENCES annotation (id), 
	CONSTRAINT fk_flag_message_id FOREIGN KEY(message_id) REFERENCES message (id)
);
INSERT INTO "flag" VALUES('6a688364ca5149a7','447a6b30182b93fe','6411bdc1d1362345','false');
INSERT INTO "flag" VALUES('615dc469ab5c758a','6f7f1ba17ca2b8df','be05e4222d410bca','harmful');
INSERT INTO "flag" VALUES('2f2dded1c9f3a435','4bcaae296c1e56ad','f1cf0046b6a2b98c','false');
CREATE TABLE gold (
	task_id VARCHAR(32) NOT NULL, 
	accepted JSON NOT NULL, 
	explanation TEXT DEFAULT '' NOT NULL, 
	onboarding BOOLEAN DEFAULT '0' NOT NULL, 
	origin TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_gold PRIMARY KEY (task_id), 
	CONSTRAINT fk_gold_task_id FOREIGN KEY(task_id) REFERENCES task (id)
);
INSERT INTO "gold" VALUES('a1381760a4ce6df0','{"winners": ["909f912dc76cca44"]}','It is four.',1,'');
CREATE TABLE guideline (
	id VARCHAR(32) NOT NULL, 
	project_id VARCHAR(32) NOT NULL, 
	version INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	created_at FLOAT NOT NULL, 
	CONSTRAINT pk_guideline PRIMARY KEY (id), 
	CONSTRAINT fk_guideline_project_id FOREIGN KEY(project_id) REFERENCES project (id), 
	CONSTRAINT uq_guideline_project_id_version UNIQUE (project_id, version)
);
INSERT INTO "guideline" VALUES('bcdb0474523058e4','b6812edeab67d1ba',1,'Be kind.',1.79591451819562363629e+09);
CREATE TABLE message (
	id VARCHAR(32) NOT NULL, 
	prompt_id VARCHAR(32) NOT NULL, 
	parent_id VARCHAR(32), 
	role VARCHAR(12) NOT NULL, 
	content TEXT NOT NULL, 
	content_hash VARCHAR(64) NOT NULL, 
	model_version_id VARCHAR(32), 
	annotator_id VARCHAR(32), 
	sampling JSON NOT NULL, 
	seed INTEGER, 
	logprob_sum FLOAT, 
	token_ids JSON, 
	finish_reason TEXT DEFAULT '' NOT NULL, 
	created_at FLOAT NOT NULL, 
	CONSTRAINT pk_message PRIMARY KEY (id), 
	CONSTRAINT ck_message_role CHECK (role in ('system', 'user', 'assistant')), 
	CONSTRAINT fk_message_annotator_id FOREIGN KEY(annotator_id) REFERENCES annotator (id), 
	CONSTRAINT fk_message_model_version_id FOREIGN KEY(model_version_id) REFERENCES model_version (id), 
	CONSTRAINT fk_message_parent_id FOREIGN KEY(parent_id) REFERENCES message (id), 
	CONSTRAINT fk_message_prompt_id FOREIGN KEY(prompt_id) REFERENCES prompt (id)
);
INSERT INTO "message" VALUES('909f912dc76cca44','b4df0e1fcace3c35',NULL,'assistant','4','4b227777d4dd1fc6',NULL,NULL,'{}',NULL,NULL,'null','',1.79591451820060849192e+09);
INSERT INTO "message" VALUES('0b637826e3acc602','b4df0e1fcace3c35',NULL,'assistant','5','ef2d127de37b942b',NULL,NULL,'{}',NULL,NULL,'null','',1.79591451820191359521e+09);
INSERT INTO "message" VALUES('a9b1f501ea9a6845','08fbaab056af548a',NULL,'assistant','A','559aead08264d579','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451823529028898e+09);
INSERT INTO "message" VALUES('6411bdc1d1362345','08fbaab056af548a',NULL,'assistant','B','df7e70e5021544f4','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451823627781866e+09);
INSERT INTO "message" VALUES('14281998a0c47428','90d2c5d72d732aeb',NULL,'assistant','C','6b23c0d5f35d1b11','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451825177145004e+09);
INSERT INTO "message" VALUES('3bbdf4cf8fffcb90','90d2c5d72d732aeb',NULL,'assistant','D','3f39d5c348e5b79d','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451825260686875e+09);
INSERT INTO "message" VALUES('122bf74430edde94','9361eefe252cbab4',NULL,'assistant','Same.','30b5061f9468a257','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451826302552223e+09);
INSERT INTO "message" VALUES('d9f602e073b7ad47','9361eefe252cbab4',NULL,'assistant','Same.','30b5061f9468a257','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.7959145182638187408e+09);
INSERT INTO "message" VALUES('b430ee33577b3b76','0080c9544d10aeaf',NULL,'assistant','E','a9f51566bd6705f7','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451827200746533e+09);
INSERT INTO "message" VALUES('18bd6569077fa8cf','0080c9544d10aeaf',NULL,'assistant','F','f67ab10ad4e4c531','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451827285599708e+09);
INSERT INTO "message" VALUES('483345ff4f07ae2e','0080c9544d10aeaf',NULL,'assistant','G','333e0a1e27815d0c','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451827366352083e+09);
INSERT INTO "message" VALUES('5fa8fde1c1e3da49','d76f0c8c8344a276',NULL,'assistant','H','44bd7ae60f478fae','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451828460311893e+09);
INSERT INTO "message" VALUES('a2a2cb5c60f895c4','d76f0c8c8344a276',NULL,'assistant','I','a83dd0ccbffe39d0','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.7959145182853696346e+09);
INSERT INTO "message" VALUES('e36d0f7ea1e249b3','d76f0c8c8344a276',NULL,'assistant','J','6da43b944e494e88','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451828613185882e+09);
INSERT INTO "message" VALUES('91a90bdeb3cccb7f','d76f0c8c8344a276',NULL,'assistant','K','86be9a55762d316a','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451828685545917e+09);
INSERT INTO "message" VALUES('5c9a02fe16941fbf','d76f0c8c8344a276',NULL,'assistant','L','72dfcfb0c470ac25','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451828759121893e+09);
INSERT INTO "message" VALUES('8aadbe97a9267610','5fd0c289ec4f9720',NULL,'assistant','M','08f271887ce94707','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451829926133151e+09);
INSERT INTO "message" VALUES('f5b3bff699c800ae','5fd0c289ec4f9720',NULL,'assistant','N','8ce86a6ae65d3692','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.7959145183000943661e+09);
INSERT INTO "message" VALUES('5c43bd4024b37e3d','5fd0c289ec4f9720',NULL,'assistant','O','c4694f2e93d5c4e7','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451830092978473e+09);
INSERT INTO "message" VALUES('f9c44b8e5299a27a','e2ecd80dcf69ecab',NULL,'assistant','P','5c62e091b8c0565f','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451831403088566e+09);
INSERT INTO "message" VALUES('16b089edc5a08392','e2ecd80dcf69ecab',NULL,'assistant','Q','4ae81572f06e1b88','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451831482338901e+09);
INSERT INTO "message" VALUES('18d589b3acb7303f','39647047c57b3e9b',NULL,'assistant','R','8c2574892063f995','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451832436299323e+09);
INSERT INTO "message" VALUES('e1d046e062501c85','39647047c57b3e9b',NULL,'assistant','S','8de0b3c47f112c59','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.795914518325189352e+09);
INSERT INTO "message" VALUES('fa99f0e3e081f986','39647047c57b3e9b',NULL,'assistant','T','e632b7095b0bf32c','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451832595586776e+09);
INSERT INTO "message" VALUES('e832d018869dd7c1','91d9904c04185c45',NULL,'assistant','A written answer.','175ae9c99acde819',NULL,'d653e9ebeff7b401','{}',NULL,NULL,'null','',1.7959145183385953903e+09);
INSERT INTO "message" VALUES('524b432eb6c453a1','447773f4078e63fa',NULL,'assistant','A bad answer.','69c25143353bb7e8','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451834320425988e+09);
INSERT INTO "message" VALUES('0c7570e253873d3a','447773f4078e63fa',NULL,'assistant','A good answer.','4336578c4a737623',NULL,'6b8624a7299134d1','{}',NULL,NULL,'null','',1.79591451834887146947e+09);
INSERT INTO "message" VALUES('cd703da94662dffe','a0121e3d46ebf4d4',NULL,'assistant','Hi.','17f4444f3932f8a1',NULL,NULL,'{}',NULL,NULL,'null','',1.79591451835577321054e+09);
INSERT INTO "message" VALUES('a562495e7f88db49','a0121e3d46ebf4d4','cd703da94662dffe','user','A joke?','26e8c616b9771d62',NULL,'d653e9ebeff7b401','{}',NULL,NULL,'null','',1.79591451835630559925e+09);
INSERT INTO "message" VALUES('0a884ac2a85cf040','a0121e3d46ebf4d4','a562495e7f88db49','assistant','Knock.','cbe6bd80077cf785',NULL,NULL,'{}',NULL,NULL,'null','',1.79591451835681629178e+09);
INSERT INTO "message" VALUES('0794ccc76ccd15db','a0121e3d46ebf4d4','a562495e7f88db49','assistant','No.','38178a20b470cfd1',NULL,NULL,'{}',NULL,NULL,'null','',1.79591451835728049281e+09);
INSERT INTO "message" VALUES('501ffe170693acb4','f2597945533976e5',NULL,'assistant','U','a25513c7e0f6eaa8','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451836471819878e+09);
INSERT INTO "message" VALUES('bfe9c49b868da096','f2597945533976e5',NULL,'assistant','V','de5a6f78116eca62','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451836550474166e+09);
INSERT INTO "message" VALUES('9972c33d172768b4','08fbaab056af548a',NULL,'assistant','W','fcb5f40df9be6bae','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451838874554634e+09);
INSERT INTO "message" VALUES('d6dd69afd569e071','08fbaab056af548a',NULL,'assistant','X','4b68ab3847feda7d','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451838960099217e+09);
INSERT INTO "message" VALUES('fed6d82e43a47497','7844910c96b18913',NULL,'assistant','a','ca978112ca1bbdca',NULL,NULL,'{}',NULL,NULL,'null','',1.79591451840469622618e+09);
INSERT INTO "message" VALUES('507c946c53bcbecc','7844910c96b18913',NULL,'assistant','b','3e23e8160039594a',NULL,NULL,'{}',NULL,NULL,'null','',1.79591451840565228463e+09);
INSERT INTO "message" VALUES('950841d2834a1d29','389c940d2f645c07',NULL,'assistant','c','2e7d2c03a9507ae2',NULL,NULL,'{}',NULL,NULL,'null','',1.79591451841617870334e+09);
INSERT INTO "message" VALUES('a8c6a7c292abee4b','389c940d2f645c07',NULL,'assistant','d','18ac3e7343f01689',NULL,NULL,'{}',NULL,NULL,'null','',1.7959145184171113968e+09);
INSERT INTO "message" VALUES('be05e4222d410bca','a32ab6e3f3625870',NULL,'assistant','e','3f79bb7b435b0532',NULL,NULL,'{}',NULL,NULL,'null','',1.79591451842474722857e+09);
INSERT INTO "message" VALUES('f1cf0046b6a2b98c','a32ab6e3f3625870',NULL,'assistant','f','252f10c83610ebca',NULL,NULL,'{}',NULL,NULL,'null','',1.79591451843082833294e+09);
INSERT INTO "message" VALUES('4c2450c3d493c143','221d4031a1f14a34',NULL,'assistant','g','cd0aa9856147b6c5',NULL,NULL,'{}',NULL,NULL,'null','',1.79591451843711256983e+09);
INSERT INTO "message" VALUES('a0eedd2c75a86f92','221d4031a1f14a34',NULL,'assistant','h','aaa9402664f1a41f',NULL,NULL,'{}',NULL,NULL,'null','',1.79591451843795847894e+09);
INSERT INTO "message" VALUES('e3b8668c03016858','d051dee2def1cd5c',NULL,'assistant','i','de7d1b721a1e0632',NULL,NULL,'{}',NULL,NULL,'null','',1.79591451844425582882e+09);
INSERT INTO "message" VALUES('f1c48c6092fc3eb1','d051dee2def1cd5c',NULL,'assistant','j','189f40034be7a199',NULL,'b6f490dcd660720b','{}',NULL,NULL,'null','',1.79591451844715714451e+09);
INSERT INTO "message" VALUES('9a012b7efb30fde0','cc8643cfd011cc15',NULL,'assistant','k','8254c329a92850f6',NULL,'b6f490dcd660720b','{}',NULL,NULL,'null','',1.79591451845282745356e+09);
INSERT INTO "message" VALUES('9fcd457a3bd368d5','c023009c4478f792',NULL,'assistant','l','acac86c0e609ca90','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451845925569527e+09);
INSERT INTO "message" VALUES('620ec2d3ad356b78','c023009c4478f792',NULL,'assistant','m','62c66a7a5dd70c31','c0bacfbf8231ee9d',NULL,'{}',NULL,NULL,'null','',1.79591451846009111407e+09);
CREATE TABLE model_version (
	id VARCHAR(32) NOT NULL, 
	name VARCHAR(400) NOT NULL, 
	kind VARCHAR(20) NOT NULL, 
	checkpoint_hash VARCHAR(64) DEFAULT '' NOT NULL, 
	parent_id VARCHAR(32), 
	round_id VARCHAR(32), 
	generation JSON NOT NULL, 
	created_at FLOAT NOT NULL, 
	CONSTRAINT pk_model_version PRIMARY KEY (id), 
	CONSTRAINT fk_model_version_parent_id FOREIGN KEY(parent_id) REFERENCES model_version (id), 
	CONSTRAINT fk_model_version_round_id FOREIGN KEY(round_id) REFERENCES round (id), 
	CONSTRAINT uq_model_version_name_checkpoint_hash UNIQUE (name, checkpoint_hash)
);
INSERT INTO "model_version" VALUES('c0bacfbf8231ee9d','runs/sft','policy','',NULL,NULL,'{}',1.79591451823189830784e+09);
CREATE TABLE project (
	id VARCHAR(32) NOT NULL, 
	name VARCHAR(200) NOT NULL, 
	config JSON NOT NULL, 
	created_at FLOAT NOT NULL, 
	CONSTRAINT pk_project PRIMARY KEY (id), 
	CONSTRAINT uq_project_name UNIQUE (name)
);
INSERT INTO "project" VALUES('b6812edeab67d1ba','default','{}',1.79591451819382786746e+09);
CREATE TABLE prompt (
	id VARCHAR(32) NOT NULL, 
	project_id VARCHAR(32) NOT NULL, 
	root VARCHAR(64) NOT NULL, 
	split VARCHAR(10) NOT NULL, 
	group_id TEXT DEFAULT '' NOT NULL, 
	messages JSON NOT NULL, 
	norm_hash VARCHAR(64) NOT NULL, 
	source TEXT DEFAULT '' NOT NULL, 
	tags JSON NOT NULL, 
	created_at FLOAT NOT NULL, 
	CONSTRAINT pk_prompt PRIMARY KEY (id), 
	CONSTRAINT ck_prompt_split CHECK (split in ('train', 'test')), 
	CONSTRAINT fk_prompt_project_id FOREIGN KEY(project_id) REFERENCES project (id), 
	CONSTRAINT uq_prompt_project_id_norm_hash UNIQUE (project_id, norm_hash)
);
INSERT INTO "prompt" VALUES('b4df0e1fcace3c35','b6812edeab67d1ba','70b499c547e0a11f','train','','[{"role": "user", "content": "2 + 2?"}]','9551e5ffdf336a7acc58d06c033f2c74db98dc3b0805f3433620003008eb7e46','gold','[]',1.79591451819983816151e+09);
INSERT INTO "prompt" VALUES('08fbaab056af548a','b6812edeab67d1ba','b039fa4a59f1a55b','train','','[{"role": "user", "content": "pair?"}]','ab7e507d8a75beca487fba6617ce1c5801b690ad0f26e13d8936152f1963b028','','[]',1.79591451823043155673e+09);
INSERT INTO "prompt" VALUES('90d2c5d72d732aeb','b6812edeab67d1ba','cbdca15039748d2a','train','','[{"role": "user", "content": "both?"}]','21812f6f3640d87daeca2cc7e8be17a71954839d3009415c714a6cb3cae753a4','','[]',1.79591451825097680097e+09);
INSERT INTO "prompt" VALUES('9361eefe252cbab4','b6812edeab67d1ba','579afff463468514','train','','[{"role": "user", "content": "equal?"}]','9442351ccbe4caa06f1675e4389ce6c64aa6117505a3cf39c3ced1eed62e6395','','[]',1.79591451826220822331e+09);
INSERT INTO "prompt" VALUES('0080c9544d10aeaf','b6812edeab67d1ba','9f99660c9d211227','train','','[{"role": "user", "content": "rank?"}]','e260d891716c9ca5214a56402dd16a2f61f2736f0359454fc5de3ac6ecc3dc98','','[]',1.79591451827124500275e+09);
INSERT INTO "prompt" VALUES('d76f0c8c8344a276','b6812edeab67d1ba','3c0c36d1d317e1d8','train','','[{"role": "user", "content": "best?"}]','60ce577fab98841e43ca9d6042aa9c0d29cf6776a28520a4da974c11f61ce671','','[]',1.79591451828384494784e+09);
INSERT INTO "prompt" VALUES('5fd0c289ec4f9720','b6812edeab67d1ba','e6d7617954444ca1','train','','[{"role": "user", "content": "rate?"}]','560eb3b94474aeeb112c840f9d42fc01368a117933aa2f4282757c02266b3435','','[]',1.79591451829856777193e+09);
INSERT INTO "prompt" VALUES('e2ecd80dcf69ecab','b6812edeab67d1ba','884f4266e5deac89','test','','[{"role": "user", "content": "seven?"}]','2a0d7c23991c19d5fe5227195e78911eec684a514847571fc7a7b73662c7032b','','[]',1.79591451831331658361e+09);
INSERT INTO "prompt" VALUES('39647047c57b3e9b','b6812edeab67d1ba','683250d681e4f66d','train','','[{"role": "user", "content": "good?"}]','7860aa0e7ea7e6c9ba5595af9139c4d8f3da209241a1e0be97d7b8bd5b4baf01','','[]',1.79591451832363462447e+09);
INSERT INTO "prompt" VALUES('91d9904c04185c45','b6812edeab67d1ba','54e5f0b57008e69b','train','','[{"role": "user", "content": "write?"}]','01ad8ca1accc8318a6dfd25c430df67f9e5ae6995daf9fbe44516c25c9b2c5ef','','[]',1.79591451833468174932e+09);
INSERT INTO "prompt" VALUES('447773f4078e63fa','b6812edeab67d1ba','a69cb5aaabac41b3','train','','[{"role": "user", "content": "edit?"}]','33bfc61baf89059f416499d8dd369e50dbbb40ebd0a37b6a8223d604149bc17e','','[]',1.79591451834244513518e+09);
INSERT INTO "prompt" VALUES('a0121e3d46ebf4d4','b6812edeab67d1ba','bf37f39f09e0cccb','train','','[{"role": "user", "content": "chat?"}]','297fef191f353e0174a392f38b9da4cdadb2dc41c6395ffa61c01c887e327499','','[]',1.79591451835292553905e+09);
INSERT INTO "prompt" VALUES('f2597945533976e5','b6812edeab67d1ba','041b821cf2f9b6a4','train','','[{"role": "user", "content": "undone?"}]','3a0a2ede6244a446b9d9737128243cee117dd5f829da7a5b98138220784e94a7','','[]',1.79591451836404681209e+09);
INSERT INTO "prompt" VALUES('7844910c96b18913','b6812edeab67d1ba','51b56fe3773bdff3','train','','[{"role": "user", "content": "soft?"}]','c492207dd7b3006e5ebe5422155c05b78f9f0a370356b958fee57b9d58bf47f3','import','[]',1.79591451840233135225e+09);
INSERT INTO "prompt" VALUES('389c940d2f645c07','b6812edeab67d1ba','dcce5dc1c3b076c3','train','','[{"role": "user", "content": "one by one?"}]','9ff43c6795219d1b34bed14c0e269fe24c2580ad2096099ab6caac2deaa0cdec','import','[]',1.79591451841239166256e+09);
INSERT INTO "prompt" VALUES('a32ab6e3f3625870','b6812edeab67d1ba','d6c3db1ba053d8e7','train','','[{"role": "user", "content": "flag?"}]','67aa86ef4a0b66d4156622a848b8de5f302bdab917f2b052a7be11c5952712a1','import','[]',1.7959145184234974385e+09);
INSERT INTO "prompt" VALUES('221d4031a1f14a34','b6812edeab67d1ba','3290d5cee2d96bdf','train','','[{"role": "user", "content": "ranked?"}]','9230e76e10b37c89819fcaa0b57b30487cf0649bffdc4d7dc686e4b280beaf83','import','[]',1.79591451843593406679e+09);
INSERT INTO "prompt" VALUES('d051dee2def1cd5c','b6812edeab67d1ba','ecc147a126682b2b','train','','[{"role": "user", "content": "edited?"}]','935d9a1794742f19d120b9460562446a71b119b1c90bd6a46ec3551405f23fa1','import','[]',1.79591451844309711455e+09);
INSERT INTO "prompt" VALUES('cc8643cfd011cc15','b6812edeab67d1ba','d754180429ea5bf7','train','','[{"role": "user", "content": "shown?"}]','11ee2f4dd6b0741c7eb769f8af8521c5cc1c2bb3d1c4ca23415fae0379dec7c9','import','[]',1.79591451844976854324e+09);
INSERT INTO "prompt" VALUES('c023009c4478f792','b6812edeab67d1ba','8cc30271ef2ee31e','train','','[{"role": "user", "content": "open?"}]','1d889e645746cc3ed0fd37664bec5a7c09b6e0b04597f5fb4c776c162aa84560','import','[]',1.79591451845752429969e+09);
CREATE TABLE ranking (
	id VARCHAR(32) NOT NULL, 
	annotation_id VARCHAR(32) NOT NULL, 
	prompt_id VARCHAR(32) NOT NULL, 
	tiers JSON NOT NULL, 
	criterion TEXT DEFAULT '' NOT NULL, 
	origin TEXT NOT NULL, 
	CONSTRAINT pk_ranking PRIMARY KEY (id), 
	CONSTRAINT fk_ranking_annotation_id FOREIGN KEY(annotation_id) REFERENCES annotation (id), 
	CONSTRAINT fk_ranking_prompt_id FOREIGN KEY(prompt_id) REFERENCES prompt (id)
);
INSERT INTO "ranking" VALUES('e4806f60aeafdcee','51987f5879dbb90b','0080c9544d10aeaf','{"b430ee33577b3b76": 1, "18bd6569077fa8cf": 0, "483345ff4f07ae2e": 1}','','ranking');
INSERT INTO "ranking" VALUES('4f20dd3b4585896e','19c6ddd6d8290afb','d76f0c8c8344a276','{"5fa8fde1c1e3da49": 0, "a2a2cb5c60f895c4": 1, "e36d0f7ea1e249b3": 2, "91a90bdeb3cccb7f": null, "5c9a02fe16941fbf": null}','','ranking');
INSERT INTO "ranking" VALUES('f131412a1e1584f5','258d722004084454','221d4031a1f14a34','{"4c2450c3d493c143": 0, "a0eedd2c75a86f92": 1}','','ranking');
CREATE TABLE rating (
	id VARCHAR(32) NOT NULL, 
	annotation_id VARCHAR(32) NOT NULL, 
	message_id VARCHAR(32) NOT NULL, 
	value FLOAT NOT NULL, 
	low FLOAT NOT NULL, 
	high FLOAT NOT NULL, 
	criterion TEXT DEFAULT '' NOT NULL, 
	origin TEXT NOT NULL, 
	CONSTRAINT pk_rating PRIMARY KEY (id), 
	CONSTRAINT fk_rating_annotation_id FOREIGN KEY(annotation_id) REFERENCES annotation (id), 
	CONSTRAINT fk_rating_message_id FOREIGN KEY(message_id) REFERENCES message (id)
);
INSERT INTO "rating" VALUES('c4292a6f0243cde0','bfe56470d82dba95','14281998a0c47428',0.0,0.0,1.0,'','both_bad');
INSERT INTO "rating" VALUES('0a4ef0fe377ca2c9','bfe56470d82dba95','3bbdf4cf8fffcb90',0.0,0.0,1.0,'','both_bad');
INSERT INTO "rating" VALUES('9a1a734eeb1cdd39','24f63bff2fedd631','8aadbe97a9267610',1.0,1.0,5.0,'','rating');
INSERT INTO "rating" VALUES('19fbb2581b1fdb3f','24f63bff2fedd631','f5b3bff699c800ae',3.0,1.0,5.0,'','rating');
INSERT INTO "rating" VALUES('7a679b13d2c1a79f','24f63bff2fedd631','5c43bd4024b37e3d',3.0,1.0,5.0,'','rating');
INSERT INTO "rating" VALUES('e10fb1de9d0c7700','24f63bff2fedd631','8aadbe97a9267610',4.0,1.0,5.0,'helpful','rating');
INSERT INTO "rating" VALUES('f92989f97b081481','24f63bff2fedd631','f5b3bff699c800ae',5.0,1.0,5.0,'helpful','rating');
INSERT INTO "rating" VALUES('a36bad2bce1da593','24f63bff2fedd631','5c43bd4024b37e3d',2.0,1.0,5.0,'helpful','rating');
INSERT INTO "rating" VALUES('dda50d1c85dc4e3c','16f8721f3c8df931','f9c44b8e5299a27a',2.0,1.0,7.0,'','rating');
INSERT INTO "rating" VALUES('dcb4857af7c26a20','16f8721f3c8df931','16b089edc5a08392',7.0,1.0,7.0,'','rating');
INSERT INTO "rating" VALUES('e61a27b18a9691b6','012e4a8f18f0de03','18d589b3acb7303f',1.0,0.0,1.0,'','binary');
INSERT INTO "rating" VALUES('82d189ee5b1a7356','012e4a8f18f0de03','e1d046e062501c85',0.0,0.0,1.0,'','binary');
INSERT INTO "rating" VALUES('e22ea9fcf9c22cab','012e4a8f18f0de03','fa99f0e3e081f986',0.0,0.0,1.0,'','binary');
INSERT INTO "rating" VALUES('01fb312ffc46d2ce','304581379e41b173','950841d2834a1d29',2.0,1.0,5.0,'helpful','rating');
INSERT INTO "rating" VALUES('2ebfd6027f9d53d3','304581379e41b173','a8c6a7c292abee4b',5.0,1.0,5.0,'helpful','rating');
INSERT INTO "rating" VALUES('9f52cf7c521b14e3','6f7f1ba17ca2b8df','be05e4222d410bca',0.0,0.0,1.0,'','binary');
INSERT INTO "rating" VALUES('0e6adb1bb98c0594','4bcaae296c1e56ad','f1cf0046b6a2b98c',0.0,0.0,1.0,'','binary');
CREATE TABLE round (
	id VARCHAR(32) NOT NULL, 
	project_id VARCHAR(32) NOT NULL, 
	number INTEGER NOT NULL, 
	snapshot_id VARCHAR(32), 
	served JSON NOT NULL, 
	metrics JSON NOT NULL, 
	opened_at FLOAT NOT NULL, 
	closed_at FLOAT, 
	CONSTRAINT pk_round PRIMARY KEY (id), 
	CONSTRAINT fk_round_project_id FOREIGN KEY(project_id) REFERENCES project (id), 
	CONSTRAINT fk_round_snapshot_id FOREIGN KEY(snapshot_id) REFERENCES snapshot (id), 
	CONSTRAINT uq_round_project_id_number UNIQUE (project_id, number)
);
INSERT INTO "round" VALUES('d50308c8daf67926','b6812edeab67d1ba',1,'b4b34f2cbab15dde','["runs/sft"]','{"win_rate": 0.5}',1.79591451822731804849e+09,1.79591451838228440291e+09);
INSERT INTO "round" VALUES('41f3c4c0de4f2e00','b6812edeab67d1ba',2,NULL,'["runs/rl"]','{}',1.79591451838582205776e+09,NULL);
CREATE TABLE snapshot (
	id VARCHAR(32) NOT NULL, 
	project_id VARCHAR(32) NOT NULL, 
	filters JSON NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	count INTEGER NOT NULL, 
	created_at FLOAT NOT NULL, 
	CONSTRAINT pk_snapshot PRIMARY KEY (id), 
	CONSTRAINT fk_snapshot_project_id FOREIGN KEY(project_id) REFERENCES project (id)
);
INSERT INTO "snapshot" VALUES('b4b34f2cbab15dde','b6812edeab67d1ba','{}','e3805c9f85cb6c606c4ea3dc1a99980f18eed01c1ad2cad35677c56bac560e4e',12,1.79591451838027048107e+09);
INSERT INTO "snapshot" VALUES('0cb199fdde54c8cf','b6812edeab67d1ba','{}','d0af83c5506e29f474789e97cb56e421495064c1a03a857b476665e274c21b8e',20,1.79591451847451329237e+09);
CREATE TABLE snapshot_annotation (
	snapshot_id VARCHAR(32) NOT NULL, 
	annotation_id VARCHAR(32) NOT NULL, 
	CONSTRAINT pk_snapshot_annotation PRIMARY KEY (snapshot_id, annotation_id), 
	CONSTRAINT fk_snapshot_annotation_annotation_id FOREIGN KEY(annotation_id) REFERENCES annotation (id), 
	CONSTRAINT fk_snapshot_annotation_snapshot_id FOREIGN KEY(snapshot_id) REFERENCES snapshot (id)
);
INSERT INTO "snapshot_annotation" VALUES('b4b34f2cbab15dde','447a6b30182b93fe');
INSERT INTO "snapshot_annotation" VALUES('b4b34f2cbab15dde','bfe56470d82dba95');
INSERT INTO "snapshot_annotation" VALUES('b4b34f2cbab15dde','d5b7345c229ed721');
INSERT INTO "snapshot_annotation" VALUES('b4b34f2cbab15dde','51987f5879dbb90b');
INSERT INTO "snapshot_annotation" VALUES('b4b34f2cbab15dde','19c6ddd6d8290afb');
INSERT INTO "snapshot_annotation" VALUES('b4b34f2cbab15dde','24f63bff2fedd631');
INSERT INTO "snapshot_annotation" VALUES('b4b34f2cbab15dde','16f8721f3c8df931');
INSERT INTO "snapshot_annotation" VALUES('b4b34f2cbab15dde','012e4a8f18f0de03');
INSERT INTO "snapshot_annotation" VALUES('b4b34f2cbab15dde','31f1d660682261e8');
INSERT INTO "snapshot_annotation" VALUES('b4b34f2cbab15dde','fc7c29a2443be7bc');
INSERT INTO "snapshot_annotation" VALUES('b4b34f2cbab15dde','91826789b0ee2d12');
INSERT INTO "snapshot_annotation" VALUES('b4b34f2cbab15dde','b1b4e10a98f09a36');
INSERT INTO "snapshot_annotation" VALUES('0cb199fdde54c8cf','447a6b30182b93fe');
INSERT INTO "snapshot_annotation" VALUES('0cb199fdde54c8cf','bfe56470d82dba95');
INSERT INTO "snapshot_annotation" VALUES('0cb199fdde54c8cf','d5b7345c229ed721');
INSERT INTO "snapshot_annotation" VALUES('0cb199fdde54c8cf','51987f5879dbb90b');
INSERT INTO "snapshot_annotation" VALUES('0cb199fdde54c8cf','19c6ddd6d8290afb');
INSERT INTO "snapshot_annotation" VALUES('0cb199fdde54c8cf','24f63bff2fedd631');
INSERT INTO "snapshot_annotation" VALUES('0cb199fdde54c8cf','16f8721f3c8df931');
INSERT INTO "snapshot_annotation" VALUES('0cb199fdde54c8cf','012e4a8f18f0de03');
INSERT INTO "snapshot_annotation" VALUES('0cb199fdde54c8cf','31f1d660682261e8');
INSERT INTO "snapshot_annotation" VALUES('0cb199fdde54c8cf','fc7c29a2443be7bc');
INSERT INTO "snapshot_annotation" VALUES('0cb199fdde54c8cf','91826789b0ee2d12');
INSERT INTO "snapshot_annotation" VALUES('0cb199fdde54c8cf','b1b4e10a98f09a36');
INSERT INTO "snapshot_annotation" VALUES('0cb199fdde54c8cf','945b2e97feda95c3');
INSERT INTO "snapshot_annotation" VALUES('0cb199fdde54c8cf','f9bb917ffdf086dd');
INSERT INTO "snapshot_annotation" VALUES('0cb199fdde54c8cf','304581379e41b173');
INSERT INTO "snapshot_annotation" VALUES('0cb199fdde54c8cf','6f7f1ba17ca2b8df');
INSERT INTO "snapshot_annotation" VALUES('0cb199fdde54c8cf','4bcaae296c1e56ad');
INSERT INTO "snapshot_annotation" VALUES('0cb199fdde54c8cf','258d722004084454');
INSERT INTO "snapshot_annotation" VALUES('0cb199fdde54c8cf','1881b13397fcda57');
INSERT INTO "snapshot_annotation" VALUES('0cb199fdde54c8cf','0a3e37cebde69521');
CREATE TABLE task (
	id VARCHAR(32) NOT NULL, 
	project_id VARCHAR(32) NOT NULL, 
	kind VARCHAR(12) NOT NULL, 
	prompt_id VARCHAR(32) NOT NULL, 
	candidate_set_id VARCHAR(32), 
	round_id VARCHAR(32), 
	overlap INTEGER NOT NULL, 
	priority FLOAT DEFAULT '0' NOT NULL, 
	state VARCHAR(10) DEFAULT 'open' NOT NULL, 
	gold BOOLEAN DEFAULT '0' NOT NULL, 
	config JSON NOT NULL, 
	reviews_id VARCHAR(32), 
	created_at FLOAT NOT NULL, 
	CONSTRAINT pk_task PRIMARY KEY (id), 
	CONSTRAINT ck_task_state CHECK (state in ('open', 'full', 'closed')), 
	CONSTRAINT ck_task_overlap CHECK (overlap >= 1), 
	CONSTRAINT fk_task_candidate_set_id FOREIGN KEY(candidate_set_id) REFERENCES candidate_set (id), 
	CONSTRAINT fk_task_project_id FOREIGN KEY(project_id) REFERENCES project (id), 
	CONSTRAINT fk_task_prompt_id FOREIGN KEY(prompt_id) REFERENCES prompt (id), 
	CONSTRAINT fk_task_round_id FOREIGN KEY(round_id) REFERENCES round (id)
);
INSERT INTO "task" VALUES('a1381760a4ce6df0','b6812edeab67d1ba','pair','b4df0e1fcace3c35','3967237332700d18',NULL,1000000,0.0,'open',1,'{}',NULL,1.79591451820404624938e+09);
INSERT INTO "task" VALUES('8c37a3700ccf0db6','b6812edeab67d1ba','pair','08fbaab056af548a','911335765cb0cb28','d50308c8daf67926',1,0.0,'full',0,'{}',NULL,1.79591451823760366434e+09);
INSERT INTO "task" VALUES('093e51c71db5f42c','b6812edeab67d1ba','pair','90d2c5d72d732aeb','1249ba45268b3f8c','d50308c8daf67926',1,0.0,'full',0,'{}',NULL,1.79591451825390291214e+09);
INSERT INTO "task" VALUES('5c1d1f766a5e915a','b6812edeab67d1ba','pair','9361eefe252cbab4','75e185a6b0d428f1','d50308c8daf67926',1,0.0,'full',0,'{}',NULL,1.79591451826507639884e+09);
INSERT INTO "task" VALUES('22ccde15030edf9c','b6812edeab67d1ba','rank','0080c9544d10aeaf','345f248f7f53cdff','d50308c8daf67926',1,0.0,'full',0,'{}',NULL,1.79591451827501845362e+09);
INSERT INTO "task" VALUES('2af2ca537c3a9236','b6812edeab67d1ba','rank','d76f0c8c8344a276','3e4259a4f574f1cf','d50308c8daf67926',1,0.0,'full',0,'{}',NULL,1.79591451828881835941e+09);
INSERT INTO "task" VALUES('ce2a7db3ba41f987','b6812edeab67d1ba','rate','5fd0c289ec4f9720','1cdcb1e9d8b5a079','d50308c8daf67926',1,0.0,'full',0,'{}',NULL,1.79591451830227804187e+09);
INSERT INTO "task" VALUES('de114c8e069426cf','b6812edeab67d1ba','rate','e2ecd80dcf69ecab','262805862e6a6a68','d50308c8daf67926',1,0.0,'full',0,'{"scale": {"low": 1, "high": 7, "words": ["very bad", "bad", "rather bad", "fair", "rather good", "good", "very good"]}}',NULL,1.79591451831604909895e+09);
INSERT INTO "task" VALUES('fd359ac7ad49ce08','b6812edeab67d1ba','binary','39647047c57b3e9b','7b1027e6db3f51c0','d50308c8daf67926',1,0.0,'full',0,'{}',NULL,1.79591451832734417919e+09);
INSERT INTO "task" VALUES('067003ab80a9629b','b6812edeab67d1ba','demo','91d9904c04185c45',NULL,'d50308c8daf67926',1,0.0,'full',0,'{}',NULL,1.79591451833541607858e+09);
INSERT INTO "task" VALUES('82cb6078b98742b9','b6812edeab67d1ba','edit','447773f4078e63fa','ef771a053bd88aed','d50308c8daf67926',1,0.0,'full',0,'{}',NULL,1.79591451834482359892e+09);
INSERT INTO "task" VALUES('8a53412e552c6fa0','b6812edeab67d1ba','chat','a0121e3d46ebf4d4',NULL,'d50308c8daf67926',1,0.0,'full',0,'{}',NULL,1.79591451835371732712e+09);
INSERT INTO "task" VALUES('acd3826590bc13aa','b6812edeab67d1ba','pair','f2597945533976e5','1243daa4b62e37ce','d50308c8daf67926',1,0.0,'closed',0,'{}',NULL,1.79591451836684584623e+09);
INSERT INTO "task" VALUES('1fda82e92f168044','b6812edeab67d1ba','pair','08fbaab056af548a','b2cbd7b9373afbba','41f3c4c0de4f2e00',1,0.0,'full',0,'{}',NULL,1.79591451839088773727e+09);
INSERT INTO "task" VALUES('2943dc3074eaedf2','b6812edeab67d1ba','pair','7844910c96b18913','2dd90216ab1c917b','41f3c4c0de4f2e00',1,0.0,'full',0,'{"given": {"error": 0.1, "round": 3, "target": 0.7, "margin": 0.2, "weight": 0.25}, "criterion": "helpful"}',NULL,1.79591451840733742711e+09);
INSERT INTO "task" VALUES('086efc69f5fa9dc9','b6812edeab67d1ba','rate','389c940d2f645c07','56929133f6881634','41f3c4c0de4f2e00',1,0.0,'full',0,'{"scale": {"low": 1.0, "high": 5.0, "words": []}, "criterion": "helpful"}',NULL,1.79591451841845059392e+09);
INSERT INTO "task" VALUES('0e9bc508f53172a5','b6812edeab67d1ba','binary','a32ab6e3f3625870','a0e74e4665f3eb92','41f3c4c0de4f2e00',1,0.0,'full',0,'{}',NULL,1.79591451842610788343e+09);
INSERT INTO "task" VALUES('1b729be04286bd94','b6812edeab67d1ba','binary','a32ab6e3f3625870','b016b030bac9ce52','41f3c4c0de4f2e00',1,0.0,'full',0,'{}',NULL,1.79591451843214154246e+09);
INSERT INTO "task" VALUES('b331344171a48b6f','b6812edeab67d1ba','rank','221d4031a1f14a34','79ebca21cd6dbaa1','41f3c4c0de4f2e00',1,0.0,'full',0,'{"given": {"error": 0.2, "round": 2}}',NULL,1.79591451843924856186e+09);
INSERT INTO "task" VALUES('4030777611e0c5cb','b6812edeab67d1ba','edit','d051dee2def1cd5c','e659fc7a59758d6b','41f3c4c0de4f2e00',1,0.0,'full',0,'{}',NULL,1.79591451844547414775e+09);
INSERT INTO "task" VALUES('a0d66898a6c0bb23','b6812edeab67d1ba','demo','cc8643cfd011cc15',NULL,'41f3c4c0de4f2e00',1,0.0,'full',0,'{}',NULL,1.79591451845129132275e+09);
INSERT INTO "task" VALUES('48b842c24bd4a5bd','b6812edeab67d1ba','pair','c023009c4478f792','6e7608bcaa82b697','41f3c4c0de4f2e00',1,0.0,'open',0,'{}',NULL,1.79591451846125531189e+09);
INSERT INTO "task" VALUES('12cbc88bbeb06f3c','b6812edeab67d1ba','review','221d4031a1f14a34','79ebca21cd6dbaa1','41f3c4c0de4f2e00',1,0.0,'full',0,'{}','258d722004084454',1.79591451846731853486e+09);
CREATE TABLE token (
	id VARCHAR(32) NOT NULL, 
	annotator_id VARCHAR(32), 
	hash VARCHAR(64) NOT NULL, 
	purpose VARCHAR(20) NOT NULL, 
	role VARCHAR(20) DEFAULT '' NOT NULL, 
	expires_at FLOAT, 
	used_at FLOAT, 
	created_at FLOAT NOT NULL, 
	CONSTRAINT pk_token PRIMARY KEY (id), 
	CONSTRAINT ck_token_purpose CHECK (purpose in ('setup', 'invitation', 'session', 'api')), 
	CONSTRAINT fk_token_annotator_id FOREIGN KEY(annotator_id) REFERENCES annotator (id), 
	CONSTRAINT uq_token_hash UNIQUE (hash)
);
CREATE INDEX ix_guideline_project_id ON guideline (project_id);
CREATE INDEX ix_token_annotator_id ON token (annotator_id);
CREATE INDEX ix_snapshot_project_id ON snapshot (project_id);
CREATE INDEX ix_round_project_id ON round (project_id);
CREATE INDEX ix_round_snapshot_id ON round (snapshot_id);
CREATE INDEX ix_model_version_parent_id ON model_version (parent_id);
CREATE INDEX ix_model_version_round_id ON model_version (round_id);
CREATE INDEX ix_prompt_project_id ON prompt (project_id);
CREATE INDEX ix_prompt_root ON prompt (root);
CREATE INDEX ix_message_annotator_id ON message (annotator_id);
CREATE INDEX ix_message_model_version_id ON message (model_version_id);
CREATE INDEX ix_message_parent_id ON message (parent_id);
CREATE INDEX ix_message_prompt_id ON message (prompt_id);
CREATE INDEX ix_candidate_set_parent_id ON candidate_set (parent_id);
CREATE INDEX ix_candidate_set_prompt_id ON candidate_set (prompt_id);
CREATE INDEX ix_candidate_message_id ON candidate (message_id);
CREATE INDEX ix_task_candidate_set_id ON task (candidate_set_id);
CREATE INDEX ix_task_project_id ON task (project_id);
CREATE INDEX ix_task_prompt_id ON task (prompt_id);
CREATE INDEX ix_task_round_id ON task (round_id);
CREATE INDEX ix_assignment_annotator_id ON assignment (annotator_id);
CREATE INDEX ix_assignment_guideline_id ON assignment (guideline_id);
CREATE INDEX ix_assignment_task_id ON assignment (task_id);
CREATE INDEX ix_annotation_annotator_id ON annotation (annotator_id);
CREATE INDEX ix_annotation_assignment_id ON annotation (assignment_id);
CREATE INDEX ix_annotation_supersedes_id ON annotation (supersedes_id);
CREATE INDEX ix_annotation_task_id ON annotation (task_id);
CREATE INDEX ix_snapshot_annotation_annotation_id ON snapshot_annotation (annotation_id);
CREATE INDEX ix_comparison_annotation_id ON comparison (annotation_id);
CREATE INDEX ix_comparison_loser_id ON comparison (loser_id);
CREATE INDEX ix_comparison_prompt_id ON comparison (prompt_id);
CREATE INDEX ix_comparison_winner_id ON comparison (winner_id);
CREATE INDEX ix_ranking_annotation_id ON ranking (annotation_id);
CREATE INDEX ix_ranking_prompt_id ON ranking (prompt_id);
CREATE INDEX ix_rating_annotation_id ON rating (annotation_id);
CREATE INDEX ix_rating_message_id ON rating (message_id);
CREATE INDEX ix_flag_annotation_id ON flag (annotation_id);
CREATE INDEX ix_flag_message_id ON flag (message_id);
CREATE INDEX ix_demonstration_annotation_id ON demonstration (annotation_id);
CREATE INDEX ix_demonstration_before_id ON demonstration (before_id);
CREATE INDEX ix_demonstration_message_id ON demonstration (message_id);
CREATE INDEX ix_task_queue ON task (project_id, state, gold, priority DESC, created_at, id);
CREATE TRIGGER annotation_no_update BEFORE update ON annotation BEGIN SELECT RAISE(ABORT, 'annotation holds events: they are never changed'); END;
CREATE TRIGGER annotation_no_delete BEFORE delete ON annotation BEGIN SELECT RAISE(ABORT, 'annotation holds events: they are never changed'); END;
CREATE TRIGGER audit_log_no_update BEFORE update ON audit_log BEGIN SELECT RAISE(ABORT, 'audit_log holds events: they are never changed'); END;
CREATE TRIGGER audit_log_no_delete BEFORE delete ON audit_log BEGIN SELECT RAISE(ABORT, 'audit_log holds events: they are never changed'); END;
COMMIT;
